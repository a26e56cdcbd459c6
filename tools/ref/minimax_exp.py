# SPDX-License-Identifier: Apache-2.0
"""Prints the polynomial of exp8() and exp16() (src/kernels/x86/math_*.h).

exp(r) = 1 + r (1 + r q(r)) on |r| <= ln 2 / 2, q of degree 4, with the smallest largest relative error (Remez: the error
alternates between one more extreme than there are coefficients). Coefficients are rounded to fp32 one after another,
lowest first, each time fitting the others anew. Needs mpmath."""
import struct

import mpmath as mp

mp.mp.prec = 200
R = mp.log(2) / 2 * (1 + mp.mpf(2) ** -16)  # n is off by a rounding of x log2(e), so r may be a little outside
DEGREE, GRID = 4, [R * mp.cos(mp.pi * (k + mp.mpf(1) / 2) / 1000) for k in range(1000)]


def fp32(x):
    return mp.mpf(struct.unpack("f", struct.pack("f", float(x)))[0])


def error(q, r):
    return (1 + r + r * r * mp.polyval(q[::-1], r)) / mp.exp(r) - 1


def fit(fixed):
    """q with its first coefficients given."""
    free = range(len(fixed), DEGREE + 1)
    at = [R * mp.cos(mp.pi * k / len(free)) for k in range(len(free) + 1)]
    for _ in range(30):
        A = mp.matrix(len(at), len(at))
        b = mp.matrix(len(at), 1)
        for i, r in enumerate(at):
            for j, k in enumerate(free):
                A[i, j] = r ** (k + 2) / mp.exp(r)
            A[i, len(free)] = (-1) ** i
            b[i] = -error(list(fixed) + [0] * len(free), r)
        q = list(fixed) + list(mp.lu_solve(A, b)[: len(free)])
        signs, best = [], []
        for r in GRID:  # the largest error of each run of one sign
            e = error(q, r)
            if not signs or (e > 0) != signs[-1]:
                signs.append(e > 0)
                best.append(r)
            elif abs(e) > abs(error(q, best[-1])):
                best[-1] = r
        if len(best) < len(at):
            break
        start = max(range(len(best) - len(at) + 1), key=lambda s: min(abs(error(q, r)) for r in best[s : s + len(at)]))
        at = best[start : start + len(at)]
    return q


q = []
for k in range(DEGREE + 1):
    q.append(fp32(fit(q)[k]))
for c in q:
    print(float(c).hex())
print("largest relative error: %.3f of 2^-24" % float(max(abs(error(q, r)) for r in GRID) * 2**24))

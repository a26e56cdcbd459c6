#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tests/data/compress/goldens.json: messages of src/dist/dense.h, sparse.h and what they decode to, by numpy.

    python3 tools/ref/make_compress_goldens.py tests/data/compress/goldens.json

Written from the formulas: CocktailSGD's quantiser with its strided buckets, fp16 scales and numpy.packbits(), and the
formats of our own. Numbers are fp32 in hexadecimal, lowest byte first. Needs numpy."""
import json
import sys

import numpy as np

f32 = np.float32
SCALES = {"f32": 4, "bf16": 2, "f16": 2}


def bf16(x):
    u = np.asarray(x, f32).view(np.uint32).astype(np.uint64)
    return (((u + 0x7FFF + (u >> 16 & 1)) >> 16) << 16).astype(np.uint32).view(f32)


def as_scale(x, kind):
    """The scale as it will be read, and its bytes."""
    x = f32(x)
    if kind == "f32":
        return x, x.tobytes()
    if kind == "bf16":
        r = bf16(x)
        return f32(r), np.asarray(r, f32).tobytes()[2:]
    h = np.float16(x)
    return f32(h), h.tobytes()


def pack(q, bits):
    return np.packbits(np.unpackbits(q.astype(np.uint8).reshape(-1, 1), axis=1)[:, -bits:]).tobytes()


def cocktail(x, bits, bucket):
    bucket = min(bucket, x.size)
    v = x.reshape(bucket, -1)
    if bits == 1:
        scale = np.sqrt(np.mean(v.astype(np.float64) ** 2, axis=0)).astype(f32).astype(np.float16)
        q = (v >= 0).astype(np.uint8)
        y = (q.astype(f32) * 2 - 1) * scale.astype(f32)
    else:
        scale = np.abs(v).max(axis=0).astype(np.float16)
        half = 1 << (bits - 1)
        t = np.rint(v / (scale.astype(f32) + f32(1e-6)) * f32(half))
        q = (np.clip(t, -half, half - 1) + half).astype(np.uint8)
        y = (q.astype(f32) - half) / f32(half) * scale.astype(f32)
    assert y.dtype == f32
    return scale.tobytes() + pack(q.ravel(), bits), y.ravel()


def group_codes(v, kind, bits, scale):
    top = {"zero": 2 ** (bits - 1) - 1, "odd": 2**bits - 1, "signed": 2 ** (bits - 1)}[kind]
    if kind == "zero":
        level = np.clip(np.rint(v / scale * f32(top)), -top, top) if scale else np.zeros(v.shape)
        q = level + top
    elif kind == "odd":
        half = f32(top) / 2
        q = np.clip(np.rint(v / scale * half + half), 0, top) if scale else np.full(v.shape, 2 ** (bits - 1))
        level = 2 * q - top
    else:
        size = np.clip(np.rint(np.abs(v) / scale * f32(top)), 1, top) if scale else np.ones(v.shape)
        down = (v < 0) if scale else np.zeros(v.shape, bool)
        level = np.where(down, -size, size)
        q = level + top - (level > 0)
    y = (level.astype(f32) + f32(0)) * (f32(1) / f32(top)) * f32(scale)  # there is no level -0
    return q, y


def in_bits(x, kind, bits, group, scale_kind):
    """One message of x [rows][cols]."""
    message, y = b"", np.zeros_like(x)
    for r in range(x.shape[0]):
        scales, codes = b"", []
        for at in range(0, x.shape[1], group or x.shape[1]):
            v = x[r, at : at + (group or x.shape[1])]
            scale, raw = as_scale(np.abs(v).max(), scale_kind)
            q, y[r, at : at + v.size] = group_codes(v, kind, bits, scale)
            scales += raw
            codes.append(q)
        message += scales + pack(np.concatenate(codes), bits)
    return message, y


def plain(x, kind):
    if kind == "f32":
        return x.tobytes(), x
    if kind == "f16":
        return x.astype(np.float16).tobytes(), x.astype(np.float16).astype(f32)
    b = bf16(x)
    return (b.view(np.uint32) >> 16).astype(np.uint16).tobytes(), b


def golomb_bits(index, n):
    k = len(index)
    if k < n // 64:
        m = (n // k) * 45426 >> 16
    else:
        q, m = 1 - k / n, 1
        while q**m * (1 + q) > 1:
            m += 1
    width = (m - 1).bit_length()
    short = 2**width - m
    out, last = "", -1
    for i in index:
        zeros, rest = divmod(int(i) - last - 1, m)
        out += "0" * zeros + "1"
        if rest < short:
            out += format(rest, f"0{width - 1}b") if width > 1 else ""
        elif width:
            out += format(rest + short, f"0{width}b")
        last = int(i)
    return out


def bytes_of(bits):
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def kept(x, chunk, keep):
    out = []
    for at in range(0, x.size, chunk):
        c = np.abs(x[at : at + chunk])
        out += sorted(at + np.argsort(-c, kind="stable")[:keep])
    return np.array(out)


def positions(index, n, chunk, code):
    if code == "bitmask":
        mask = np.zeros(n, np.uint8)
        mask[index] = 1
        return np.packbits(mask).tobytes()
    if code == "golomb":
        return bytes_of(golomb_bits(index, n))
    width = (chunk - 1).bit_length()
    return bytes_of("".join(format(int(i) % chunk, f"0{width}b") for i in index))


def values_for(rng, shape):
    """Numbers of several sizes, with zeros, ties between two levels, and runs of equal ones."""
    x = (rng.standard_normal(shape) * np.exp(rng.standard_normal(shape))).astype(f32)
    flat = x.reshape(-1)
    flat[::17] = 0
    flat[5::29] = f32(0.5)
    flat[3::31] = f32(-0.5)
    flat[7::23] = np.rint(flat[7::23] * 8) / 16
    return x


def main():
    rng = np.random.default_rng(20221129)
    dense, sparse = [], []

    def add_dense(x, kind, bits=0, group=0, scale="f16"):
        if kind == "cocktail":
            message, y = cocktail(x.ravel(), bits, group)
        elif kind in ("f32", "f16", "bf16"):
            message, y = plain(x, kind)
        else:
            message, y = in_bits(x, kind, bits, group, scale)
        dense.append(dict(kind=kind, bits=bits, group=group, scale=scale, rows=x.shape[0], cols=x.shape[1], x=x.tobytes().hex(),
                          message=message.hex(), y=np.ascontiguousarray(y, f32).tobytes().hex()))  # fmt: skip

    for kind in ("f32", "f16", "bf16"):
        add_dense(values_for(rng, (1, 61)), kind)
    for bits in range(1, 9):
        add_dense(values_for(rng, (1, 3 * 128)), "cocktail", bits, 128)
        add_dense(values_for(rng, (1, 77)), "cocktail", bits, 128)
        add_dense((values_for(rng, (1, 5 * 16)) * 1e-7).astype(f32), "cocktail", bits, 16)
        for kind in ("zero", "odd", "signed"):
            if kind != "zero" or bits > 1:
                add_dense(values_for(rng, (1, 150)), kind, bits, 64, "f32")
                add_dense(values_for(rng, (3, 45)), kind, bits, 0, "f16")
                add_dense((values_for(rng, (2, 33)) * 1e-9).astype(f32), kind, bits, 16, "bf16")
    for code, n, chunk, keep, bits in (
        ("bitmask", 1000, 1000, 128, 4),
        ("golomb", 1000, 1000, 128, 4),
        ("golomb", 1003, 1003, 8, 4),
        ("golomb", 515, 515, 256, 2),
        ("golomb", 509, 509, 190, 2),
        ("bitmask", 300, 64, 16, 3),
        ("chunked", 1100, 256, 8, 2),
        ("chunked", 300, 100, 7, 2),
    ):
        x = values_for(rng, (n,))
        index = kept(x, chunk, keep)
        message, y = in_bits(x[index].reshape(1, -1), "signed", bits, 64, "bf16")
        if code == "bitmask" and chunk == n:
            message, y = cocktail(x[index], bits, 128)
        sparse.append(dict(code=code, n=n, chunk=chunk, keep=keep, kind="cocktail" if code == "bitmask" and chunk == n else "signed",
                           bits=bits, x=x.tobytes().hex(), index=[int(i) for i in index],
                           message=(message + positions(index, n, chunk, code)).hex(),
                           y=np.ascontiguousarray(y, f32).tobytes().hex()))  # fmt: skip
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        json.dump({"dense": dense, "sparse": sparse}, f, indent=0)
        f.write("\n")
    print(len(dense), "and", len(sparse), "messages")


main()

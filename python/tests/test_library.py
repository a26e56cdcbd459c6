# SPDX-License-Identifier: Apache-2.0
"""The package's idea of include/gptjt.h against a C compiler's: sizes and places of every member."""

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from support import ROOT, cli, main

import gptjt
from gptjt import _library

HEADER = os.path.join(ROOT, "include", "gptjt.h")


class Library(unittest.TestCase):
    @unittest.skipUnless(shutil.which("cc"), "no C compiler")
    def test_structs_are_those_of_the_header(self):
        lines = []
        for name, struct in _library.STRUCTS.items():
            c = "struct gptjt_" + name
            lines.append(f'printf("{name} %zu\\n", sizeof({c}));')
            for field, _ in struct._fields_:
                lines.append(f'printf("{name}.{field} %zu %zu\\n", offsetof({c}, {field}), '
                             f"sizeof((({c} *)0)->{field}));")
        source = '#include <stdio.h>\n#include "gptjt.h"\nint main(void)\n{\n' + "\n".join(lines) + "\nreturn 0;\n}\n"
        with tempfile.TemporaryDirectory() as d:
            program = os.path.join(d, "layout")
            subprocess.run(["cc", "-x", "c", "-", "-I", os.path.dirname(HEADER), "-o", program], input=source,
                           text=True, check=True)
            theirs = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
        ours = []
        for name, struct in _library.STRUCTS.items():
            ours.append(f"{name} {ctypes.sizeof(struct)}")
            for field, _ in struct._fields_:
                at = getattr(struct, field)
                ours.append(f"{name}.{field} {at.offset} {at.size}")
        self.assertEqual(ours, theirs)

    def test_no_member_is_missing(self):
        with open(HEADER) as f:
            header = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
        for name, struct in _library.STRUCTS.items():
            body = re.search(r"struct gptjt_%s \{(.*?)\n\};" % name, header, re.S).group(1)
            members = re.findall(r"(\w+)\s*(?=[,;])", body)
            self.assertEqual([field for field, _ in struct._fields_], members)

    def test_versions_are_one(self):
        self.assertEqual(gptjt.__version__, _library.lib.version().decode())
        self.assertIn(gptjt.__version__, cli("--version"))

    def test_every_status_has_an_exception(self):
        with open(HEADER) as f:
            names = re.findall(r"^    GPTJT_E_(\w+)", f.read(), re.M)
        self.assertEqual(len(names), len(_library.BY_STATUS))
        for e in _library.BY_STATUS.values():
            self.assertTrue(issubclass(e, gptjt.GptjtError))


if __name__ == "__main__":
    main()

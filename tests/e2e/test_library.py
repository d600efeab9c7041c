# SPDX-License-Identifier: Apache-2.0
"""libcairn as others find it: installed under a prefix, found by pkg-config, linked to examples."""

import glob
import os
import re
import shutil
import subprocess
import unittest

from cairn import SOURCE, CairnCase, main

BUILD = os.environ.get("CAIRN_BUILD", os.path.join(SOURCE, "build/release"))
COMPILER = os.environ.get("CAIRN_CC", "cc")
SANITIZE = os.environ.get("CAIRN_SANITIZE", "")


@unittest.skipUnless(os.path.exists(os.path.join(BUILD, "libcairn.so")), "built without libcairn")
class Library(CairnCase):
    def setUp(self):
        super().setUp()
        self.prefix = self.path("prefix")
        self.run_("cmake", "--install", BUILD, "--prefix", self.prefix)
        (pc,) = glob.glob(self.path("prefix", "**", "cairn.pc"), recursive=True)
        self.env = dict(os.environ, PKG_CONFIG_PATH=os.path.dirname(pc))
        self.lib = os.path.dirname(os.path.dirname(pc))

    def run_(self, *arguments, env=None):
        done = subprocess.run(arguments, cwd=self.folder, capture_output=True, text=True, env=env,
                              timeout=120)
        self.assertEqual(done.returncode, 0, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def pkg_config(self, *arguments):
        return self.run_("pkg-config", *arguments, "cairn", env=self.env).split()

    def build(self, source, *arguments):
        flags = [f"-fsanitize={SANITIZE}"] if SANITIZE else []
        out = self.path("program")
        self.run_(COMPILER, "-std=c17", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-Werror", *flags,
                  "-o", out, source, *arguments)
        return out

    def examples(self):
        found = sorted(glob.glob(os.path.join(SOURCE, "examples", "*.c")))
        self.assertGreaterEqual(len(found), 4)
        for path in found:  # away from the tree, so that nothing else of it can be found
            yield shutil.copy(path, self.folder)

    def test_shared(self):
        flags = self.pkg_config("--cflags", "--libs")
        env = dict(os.environ, LD_LIBRARY_PATH=self.lib)
        for source in self.examples():
            program = self.build(source, *flags, "-lm")
            needed = self.run_("readelf", "-d", program)
            self.assertIn("[libcairn.so.0]", needed)
            self.run_(program, self.folder, env=env)

    def test_static(self):
        flags = self.pkg_config("--cflags", "--libs", "--static")
        flags = [os.path.join(self.lib, "libcairn.a") if f == "-lcairn" else f for f in flags]
        for source in self.examples():
            program = self.build(source, *flags)
            self.assertNotIn("libcairn", self.run_("readelf", "-d", program))
            self.run_(program, self.folder)

    def test_only_cairn_names(self):
        """Every function of the public headers, and nothing else, in both forms."""
        declared = set()
        for header in glob.glob(os.path.join(self.prefix, "include", "cairn", "*.h")):
            with open(header) as f:
                declared |= set(re.findall(r"CAIRN_API[^;{]*?\b(cairn_\w+)\(", f.read()))
        self.assertGreater(len(declared), 20)
        dynamic = self.run_("nm", "-D", "--defined-only", os.path.join(self.lib, "libcairn.so"))
        shown = {line.split()[-1].split("@")[0] for line in dynamic.splitlines()
                 if line.split()[1] != "A"}
        self.assertEqual(shown, declared)
        static = self.run_("nm", "-g", "--defined-only", os.path.join(self.lib, "libcairn.a"))
        shown = {line.split()[2] for line in static.splitlines() if len(line.split()) == 3}
        shown = {name for name in shown if not name.startswith(("__odr_asan", "__asan"))}
        self.assertEqual(shown, declared)

    def test_needs_little(self):
        needed = self.run_("readelf", "-d", os.path.join(self.lib, "libcairn.so"))
        for other in ("openblas", "curl", "microhttpd"):
            self.assertNotIn(other, needed)
        self.assertIn("Library soname: [libcairn.so.0]", needed)

    def test_headers_are_cxx_too(self):
        source = self.path("all.cc")
        with open(source, "w") as f:
            for header in sorted(os.listdir(os.path.join(self.prefix, "include", "cairn"))):
                f.write(f"#include <cairn/{header}>\n")
            f.write("int main() { return cairn_error_exit(0); }\n")
        if not shutil.which("c++"):
            self.skipTest("no C++ compiler")
        self.run_("c++", "-fsyntax-only", "-Wall", "-Werror", *self.pkg_config("--cflags"), source)


if __name__ == "__main__":
    main()

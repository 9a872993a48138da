"""Forgetting to ask guard is a compile error: a Sealed<> that does not come from Guard does not compile, and the same file compiles when it does."""
import os
import shutil
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOOR = """
#include <string>
#include "guard/guard.h"
#include "types/sealed.h"

// What every door and channel takes: bytes that guard has seen.
void write_to_socket(weir::Sealed<std::string> body);

void answer(const weir::guard::Guard& guard, std::string body) {
  (void)guard;
  %s
}
"""
GOOD = "write_to_socket(guard.seal(weir::guard::Exit::reader, std::move(body)));"
BAD = {
    "a plain string": "write_to_socket(body);",
    "a Sealed made in place": "write_to_socket(weir::Sealed<std::string>(body));",
    "braces": "write_to_socket({body});",
    "an empty key": "write_to_socket(weir::Sealed<std::string>({}, body));",
    "a key of one's own": "write_to_socket(weir::Sealed<std::string>(weir::SealKey(), body));",
    "a key in braces": "write_to_socket({weir::SealKey{}, body});",
    "a default Sealed": "weir::Sealed<std::string> sealed; write_to_socket(sealed);",
    "a change of what is sealed": "auto sealed = guard.seal(weir::guard::Exit::log, body); sealed.open() += body; write_to_socket(sealed);",
    "another payload's seal": "write_to_socket(guard.seal(weir::guard::Exit::log, weir::Item{}, weir::Verdict{}));",
    "a friend of the same name": "struct Guard { weir::SealKey key() { return weir::SealKey(); } }; write_to_socket({Guard().key(), body});",
}


def compiles(compiler, statement):
    command = [compiler, "-std=c++2b", "-fsyntax-only", "-I", os.path.join(ROOT, "src"), "-x", "c++", "-"]
    return subprocess.run(command, input=DOOR % statement, capture_output=True, text=True, timeout=300)


class Sealed(unittest.TestCase):
    def setUp(self):
        self.compilers = [c for c in (shutil.which(os.environ.get("CXX", "g++")), shutil.which("clang++-19")) if c]
        if not self.compilers:
            self.skipTest("no C++ compiler")

    def test_through_guard_it_compiles(self):
        for compiler in self.compilers:
            done = compiles(compiler, GOOD)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_past_guard_it_does_not(self):
        for compiler in self.compilers:
            for how, statement in BAD.items():
                with self.subTest(how=how, compiler=os.path.basename(compiler)):
                    done = compiles(compiler, statement)
                    self.assertNotEqual(done.returncode, 0, "it compiled")
                    self.assertIn("<stdin>", done.stderr, "the error is in the door, not in a header that is missing")


if __name__ == "__main__":
    unittest.main()

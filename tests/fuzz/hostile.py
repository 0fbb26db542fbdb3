"""Texts and numbers that programs stumble over, whatever they are for."""

from __future__ import annotations

from typing import Any

TEXTS = (
    "", " ", "\t", "\n", "\r\n", "\0", "\x01", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\ufeff",
    "\ufffe", "\ud800", "\udcff", "\udfff", "\U0010ffff", "e\u0301", "\u00e9", "\u00df", "\u0130", "\ufb01", "\u0661",
    "\u0661\u0662", "\u00b2", "\u2460", "\U0001d7d8", "\U0001f600", "a\0b", ".", "..", "/", "//", "/.", "/..", "../..",
    "~", "-", "--", "_", ":", "::", ",", ",,", ";", "=", "%", "%s", "%n", "{}", "{0}", "$(a)", "`a`", "\\", "\\x00",
    "'", '"', "''", "<", ">", "&", "]]>", "nan", "inf", "-inf", "None", "True", "true", "0", "-1", "00", "0x10", "1e9",
    "1e400", "1_0", " 1", "1 ", "+1", "4294967296", "18446744073709551616", "9" * 30, "a" * 127, "a" * 128,
    "\u00e9" * 64, "\U0001f600" * 32, "x" * 300,
)  # fmt: skip
"""Each means something to some parser, or to none."""

SINGLES = (
    "\0\t\n\r \x7f\x85\u2028\ud800\udc80\u00e9\u0130\u0661\U0001f600./\\:;,-+=~_%#&<>'\"()[]{}*?|^$!@0123456789abcxyzAZ"
)
"""Single characters. Most are punctuation, because it separates things."""

SINGLE_BYTES = bytes(range(256))

INTEGERS = (
    0, 1, -1, 2, 3, 7, 8, 10, 15, 16, 31, 32, 63, 64, 100, 127, 128, 255, 256, 1000, 1023, 1024, 4095, 4096, 32767,
    32768, 65535, 65536, 2**20, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63,
    -(2**63), 2**64 - 1, 2**64, 10**30, -(10**30), 10**400,
)  # fmt: skip
"""Limits of the types that such numbers are kept in, and numbers beyond all of them."""

FLOATS = (
    0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 7.0, 1e-320, 1e-9, 1e9, 2.0**53, 2.0**63, 2.0**64, 1e308, -1e308,
    float("inf"), float("-inf"), float("nan"),
)  # fmt: skip

VALUES: tuple[Any, ...] = (*TEXTS, *INTEGERS, *FLOATS, True, False, None, b"", b"\xff", (), ("a",), [], {}, {"a": 1})
"""Values of every type that plain data has."""

DECIMALS = tuple(str(number) for number in INTEGERS)

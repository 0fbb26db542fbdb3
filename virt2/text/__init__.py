"""Texts that come from users and guests: patterns, paths in XML, parts of identifiers. All of it is pure."""

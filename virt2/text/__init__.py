"""Texts that come from users and guests: patterns, paths in XML, what may stand in an identifier. Pure."""

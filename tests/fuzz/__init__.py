"""Gives virt2 inputs that nobody meant, by the million, and says what it made of them.

Hypothesis chooses the structure of a batch: which known inputs it begins with, which kinds of changes are made, how
many and how large. A fast mutator makes some hundred inputs of each such choice, all from one seed, so that a run can
be repeated. Hypothesis alone would be a hundred times slower.

* ``targets/`` has one module for each kind of input, with its known inputs, its vocabulary, and what must hold.
* ``mutation`` and ``hostile`` change texts, bytes and trees of plain data.
* ``recipes`` is the part of hypothesis.
* ``session`` runs one target, ``verdict`` judges each input, within the bounds of ``watch`` and ``memory``, and
  ``shrink`` makes one that fails small.
* ``crew`` runs several sessions in processes of their own, ``report`` has the words.

``scripts/fuzz`` runs it, and ``docs/reliability.md`` tells what it found.
"""

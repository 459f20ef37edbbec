"""Attacks: programs drawn at random that do to the native objects whatever Python code can do.

A batch is one process, drawn from one seed (:mod:`.batch`). It has loops, a pool of objects that earlier calls
answered (:mod:`.world`), values of every kind (:mod:`.values`, :mod:`.evil`) and a table of actions
(:mod:`.actions`, :mod:`.recipes`, :mod:`.network`). Everything evil reacts: whenever native code calls back, by a comparison, a
conversion, a finalizer, a weak reference, a collection, a protocol's method, the next action may happen right
there. What the calls answer is not judged; the process is (:mod:`.verdict`). ``python -m tests.attacks --help``
tells how to run many of them, and how to run one again.
"""

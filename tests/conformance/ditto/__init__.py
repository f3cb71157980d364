"""Ditto against what the original implementation computed: ``python -m tests.conformance.ditto DIR``.

DIR is any folder in the format of ``shared/golden/ditto/README.md``. Our implementation runs on its inputs and its
networks, stage by stage; every array that the folder holds is compared, one line for each, with its error and limit.
"""

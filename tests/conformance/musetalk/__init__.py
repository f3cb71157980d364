"""MuseTalk against what the original implementation computed: ``python -m tests.conformance.musetalk DIR``.

DIR is any folder in the format of ``shared/golden/musetalk/README.md``. Our implementation runs on its inputs and its
networks, stage by stage; every array and picture that the folder holds is compared, one line for each, with its error
and its limit.
"""

"""The embedded engine: one picture, animated on the CPU by parameters that come from speech.

The files are named in the order in which the data meets them. Preparation: `photo` or `character` ->
`landmarks` -> `bases` -> `rig`. A beat: `voice` -> `life` -> `field` -> `eyes` -> `warp` -> `mouth`.
"""

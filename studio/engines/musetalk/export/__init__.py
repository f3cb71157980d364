"""Turns the released weights into the ONNX files that the engine runs; for the command ``export musetalk`` alone.

The only part of the studio that imports PyTorch, diffusers and transformers (the extra ``export``). Networks that no
package has are written here from the published descriptions of their layers. Specification: sections 1 and 3.

`sources` says which released file becomes which network, `networks` builds them, `tracing` writes and compares the
graphs, `command` does it all.
"""

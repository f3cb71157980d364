"""The Ditto engine: motion-space diffusion that moves one portrait or a short video.

The sound's way is `speech -> condition -> sampler -> motion`, the picture's `detect -> crop -> eyes -> registration`
once per avatar, and both meet in `retarget -> paste`. `options` holds what can be set, `engine` wires it all.
Pipeline and networks are those of Ditto (antgroup/ditto-talkinghead, Apache-2.0).
"""

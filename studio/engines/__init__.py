"""The engines: one folder or module each; `studio.engine.ENGINES` names them."""

from .work import Engine as Engine

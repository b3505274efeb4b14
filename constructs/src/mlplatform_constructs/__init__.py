"""AWS CDK constructs for machine-learning platforms.

``__init__.pyi`` lists the public names. Each is loaded on first use, because loading all of them imports a dozen AWS
modules, which takes longer than synthesizing a small app.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

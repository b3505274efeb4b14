"""AWS CDK constructs for machine-learning platforms.

``__init__.pyi`` lists the public names. Each is loaded when it is first asked for: together they would load a dozen
AWS modules, which costs more than a small app.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

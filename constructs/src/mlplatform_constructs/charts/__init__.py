"""Applications of teams on the platform, with cdk8s-plus. Needs the extra ``mlplatform-constructs[charts]``.

The names are loaded on first use: :class:`ComponentChart` needs only cdk8s, the others cdk8s-plus.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Operator types: what each accepts. Importing the package registers all of them.

Each module holds one group; schema.py holds the registry and the checks.
"""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

from typing import Any

# cffi's own objects: every attribute is one of the declarations in csrc/include/c2_abi.h.
ffi: Any
lib: Any

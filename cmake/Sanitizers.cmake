# SPDX-License-Identifier: MIT
# SPLICE_SANITIZE: the flags for ring-1 tests, empty where the runtime libraries are missing.
include(CheckCXXSourceCompiles)
set(SPLICE_SANITIZE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
string(REPLACE ";" " " CMAKE_REQUIRED_FLAGS "${SPLICE_SANITIZE}")
check_cxx_source_compiles("int main() { return 0; }" SPLICE_HAVE_SANITIZERS)
unset(CMAKE_REQUIRED_FLAGS)
if(NOT SPLICE_HAVE_SANITIZERS)
  set(SPLICE_SANITIZE "")
endif()

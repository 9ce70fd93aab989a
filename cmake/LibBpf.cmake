# SPDX-License-Identifier: MIT
# libbpf (BSD-2-Clause) and zlib linked statically, so that an installed package needs neither.
# See THIRD_PARTY.md for the notices that must travel with the binary.
#
# Distributions compile libbpf.a for executables (PIE), not for shared objects: of all its
# relocations only the one to `stderr` cannot be resolved in a .node file. A copy of the archive
# has that symbol renamed, and addon/bpf_loader.cc defines the new name.
# libelf is replaced by addon/elf; its headers are used for declarations only.
find_library(SPLICE_LIBBPF_A libbpf.a)
find_path(SPLICE_LIBBPF_INCLUDE bpf/libbpf.h)
find_path(SPLICE_LIBELF_INCLUDE gelf.h)
find_library(SPLICE_LIBZ_A libz.a)
foreach(need IN ITEMS
    "SPLICE_LIBBPF_A:libbpf-dev" "SPLICE_LIBBPF_INCLUDE:libbpf-dev"
    "SPLICE_LIBELF_INCLUDE:libelf-dev" "SPLICE_LIBZ_A:zlib1g-dev")
  string(REPLACE ":" ";" need "${need}")
  list(GET need 0 variable)
  list(GET need 1 package)
  if(NOT ${variable})
    message(FATAL_ERROR "${package} not found (${variable}): install it, scripts/setup does")
  endif()
endforeach()

set(libbpf_pic "${CMAKE_CURRENT_BINARY_DIR}/libbpf-pic.a")
add_custom_command(
  OUTPUT "${libbpf_pic}"
  COMMAND "${CMAKE_OBJCOPY}" --redefine-sym stderr=splice_bpf_stderr
          "${SPLICE_LIBBPF_A}" "${libbpf_pic}"
  DEPENDS "${SPLICE_LIBBPF_A}"
  COMMENT "libbpf.a for a shared object"
  VERBATIM)
add_custom_target(splice_libbpf_pic DEPENDS "${libbpf_pic}")

add_library(splice_libbpf INTERFACE)
add_dependencies(splice_libbpf splice_libbpf_pic)
target_include_directories(splice_libbpf SYSTEM INTERFACE "${SPLICE_LIBBPF_INCLUDE}")
target_link_libraries(splice_libbpf INTERFACE "${libbpf_pic}" "${SPLICE_LIBZ_A}")

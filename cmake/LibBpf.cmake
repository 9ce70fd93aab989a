# SPDX-License-Identifier: MIT
# libbpf (BSD-2-Clause) and zlib linked statically, so that an installed package needs neither.
# See THIRD_PARTY.md for the notices that must travel with the binary.
#
# Distributions compile libbpf.a for executables (PIE), not for shared objects: of all its
# relocations only the one to `stderr` cannot be resolved in a .node file. A copy of the archive
# has that symbol renamed, and addon/bpf_object.cc defines the new name.
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
execute_process(
  COMMAND "${CMAKE_OBJCOPY}" --redefine-sym stderr=splice_bpf_stderr
          "${SPLICE_LIBBPF_A}" "${libbpf_pic}"
  RESULT_VARIABLE copied ERROR_VARIABLE copy_error)
# From 1.6 on libbpf has a thread-local variable, which an archive compiled for executables reaches
# in a way that no shared object can: then only the distribution's shared library is left.
set(libbpf_try "${CMAKE_CURRENT_BINARY_DIR}/libbpf-try")
file(WRITE "${libbpf_try}.c"
  "__attribute__((visibility(\"hidden\"))) void *splice_bpf_stderr;\n")
execute_process(
  COMMAND "${CMAKE_C_COMPILER}" -shared -fPIC -o "${libbpf_try}.so" "${libbpf_try}.c"
          -Wl,--exclude-libs,ALL -Wl,--whole-archive "${libbpf_pic}" -Wl,--no-whole-archive
  RESULT_VARIABLE linked OUTPUT_QUIET ERROR_VARIABLE link_error)
file(REMOVE "${libbpf_try}.c" "${libbpf_try}.so")

add_library(splice_libbpf INTERFACE)
target_include_directories(splice_libbpf SYSTEM INTERFACE "${SPLICE_LIBBPF_INCLUDE}")
if(copied EQUAL 0 AND linked EQUAL 0)
  target_link_libraries(splice_libbpf INTERFACE "${libbpf_pic}" "${SPLICE_LIBZ_A}")
else()
  find_library(SPLICE_LIBBPF_SO libbpf.so)
  if(NOT SPLICE_LIBBPF_SO)
    message(FATAL_ERROR "${SPLICE_LIBBPF_A} cannot be linked into a shared object, and there is no "
      "libbpf.so:\n${copy_error}${link_error}")
  endif()
  message(WARNING "libbpf is linked dynamically: the addon will need ${SPLICE_LIBBPF_SO} where it "
    "runs, so do not ship it as a prebuilt\n${link_error}")
  target_link_libraries(splice_libbpf INTERFACE "${SPLICE_LIBBPF_SO}")
endif()

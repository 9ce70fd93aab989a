# SPDX-License-Identifier: MIT
# splice_bpf_object(name source [directory]): compiles one BPF program to build/bpf/<name>.bpf.o, or
# into another directory of the build tree.
#
# -g gives BTF (CO-RE needs it); llvm-strip -g takes the DWARF away again and keeps the BTF.
# -mcpu=v3 (atomics, 32-bit jumps) is understood by every kernel since 5.12.
# No vmlinux.h: bpf/vmlinux-min.h declares the few kernel fields in use, so that a build needs no
# BTF of the running kernel and gives the same object everywhere.
find_program(SPLICE_BPF_CLANG NAMES clang clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14)
find_program(SPLICE_LLVM_STRIP NAMES llvm-strip llvm-strip-20 llvm-strip-19 llvm-strip-18
  llvm-strip-17 llvm-strip-16 llvm-strip-15 llvm-strip-14
  HINTS /usr/lib/llvm-20/bin /usr/lib/llvm-19/bin /usr/lib/llvm-18/bin /usr/lib/llvm-17/bin
        /usr/lib/llvm-16/bin /usr/lib/llvm-15/bin /usr/lib/llvm-14/bin)
find_path(SPLICE_BPF_HELPERS bpf/bpf_helpers.h)

if(SPLICE_BPF_CLANG AND SPLICE_LLVM_STRIP AND SPLICE_BPF_HELPERS)
  set(SPLICE_BPF_POSSIBLE ON)
else()
  set(SPLICE_BPF_POSSIBLE OFF)
  message(WARNING "no BPF objects will be built (clang: ${SPLICE_BPF_CLANG}, llvm-strip: "
    "${SPLICE_LLVM_STRIP}, bpf_helpers.h: ${SPLICE_BPF_HELPERS}); the backends sockmap and packet "
    "then need the objects of a prebuilt package. Install clang, llvm and libbpf-dev.")
endif()

function(splice_bpf_object name source)
  if(NOT SPLICE_BPF_POSSIBLE)
    return()
  endif()
  set(directory "${CMAKE_BINARY_DIR}/bpf")
  if(ARGC GREATER 2)
    set(directory "${CMAKE_BINARY_DIR}/${ARGV2}")
  endif()
  file(MAKE_DIRECTORY "${directory}")
  set(object "${directory}/${name}.bpf.o")
  # <linux/types.h> wants the machine's asm/types.h, which Debian keeps under the multiarch name.
  set(uapi "")
  if(CMAKE_LIBRARY_ARCHITECTURE)
    set(uapi -idirafter "/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}")
  endif()
  add_custom_command(
    OUTPUT "${object}"
    COMMAND "${SPLICE_BPF_CLANG}" -target bpf -mcpu=v3 -O2 -g -std=gnu11
            ${SPLICE_WARNINGS}
            "-fdebug-prefix-map=${CMAKE_SOURCE_DIR}=."
            -I "${CMAKE_SOURCE_DIR}/include" -I "${CMAKE_SOURCE_DIR}/bpf"
            -isystem "${SPLICE_BPF_HELPERS}" ${uapi}
            -MD -MF "${object}.d" -MT "${object}"
            -c "${source}" -o "${object}"
    COMMAND "${SPLICE_LLVM_STRIP}" -g "${object}"
    DEPENDS "${source}"
    DEPFILE "${object}.d"
    COMMENT "BPF object ${name}"
    VERBATIM)
  add_custom_target("bpf_${name}" ALL DEPENDS "${object}")
endfunction()

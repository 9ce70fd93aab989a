# SPDX-License-Identifier: MIT
# The Node-API addon. cmake-js gives CMAKE_JS_INC (node-api-headers and node-addon-api, both from
# node_modules) and sets the output directory to build/Release; nothing is downloaded.
find_package(Threads REQUIRED)
include(LibBpf)

# Node links libuv in and exports it: only the header is needed, best the one of this very Node.
execute_process(
  COMMAND node -p "require('node:path').resolve(process.execPath, '../../include/node')"
  OUTPUT_VARIABLE node_headers OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
find_file(SPLICE_UV_H uv.h HINTS "${node_headers}")
if(NOT SPLICE_UV_H)
  message(FATAL_ERROR "uv.h not found: install libuv1-dev, or Node's own headers")
endif()
get_filename_component(uv_include "${SPLICE_UV_H}" DIRECTORY)

file(GLOB addon_sources CONFIGURE_DEPENDS
  "${CMAKE_CURRENT_SOURCE_DIR}/addon/*.cc" "${CMAKE_CURRENT_SOURCE_DIR}/addon/elf/*.cc"
  "${CMAKE_CURRENT_SOURCE_DIR}/addon/module/*.cc" "${CMAKE_CURRENT_SOURCE_DIR}/addon/packet/*.cc")
add_library(symsplice SHARED ${addon_sources})
set_target_properties(symsplice PROPERTIES
  PREFIX "" SUFFIX ".node"
  CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
  POSITION_INDEPENDENT_CODE ON)
target_compile_definitions(symsplice PRIVATE
  NAPI_VERSION=8 NAPI_DISABLE_CPP_EXCEPTIONS NODE_ADDON_API_DISABLE_DEPRECATED _GNU_SOURCE)
target_include_directories(symsplice PRIVATE
  "${CMAKE_CURRENT_SOURCE_DIR}/addon" "${CMAKE_CURRENT_SOURCE_DIR}/include"
  "${CMAKE_CURRENT_SOURCE_DIR}/kernel")
# Last and as system headers: Node's directory also holds a node_api.h, which must not win.
target_include_directories(symsplice SYSTEM PRIVATE ${CMAKE_JS_INC} ${SPLICE_LIBELF_INCLUDE})
target_compile_options(symsplice PRIVATE ${SPLICE_WARNINGS} -O2 "SHELL:-idirafter ${uv_include}")
# The symbols of Node-API and libuv come from the node executable, so undefined ones are allowed
# here; test/bpf/addon-link.test.ts checks that no others are left open.
# libstdc++ and libgcc go in too: a prebuilt addon then asks the machine for its C library alone.
target_link_options(symsplice PRIVATE
  -static-libstdc++ -static-libgcc -Wl,--exclude-libs,ALL -Wl,-z,now -Wl,--gc-sections)
target_link_libraries(symsplice PRIVATE splice_libbpf Threads::Threads ${CMAKE_JS_LIB})

// SPDX-License-Identifier: MIT
// The read-only part of libelf that libbpf.a calls, so that the addon needs no libelf at run time
// (libelf.a itself cannot go into a shared object, and its licence does not fit an MIT package).
//
// ELF64 in the byte order of the host only: BPF objects, vmlinux and the host's own programs.
// The bytes are hostile until proven otherwise: every offset is checked against the image before
// use, every table is copied to aligned memory, nothing is ever written back. A wrong file gives an
// error (elf_errmsg) and never a fault. One handle belongs to one thread at a time, as in libelf.
#pragma once

#include <gelf.h>
#include <libelf.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

// The two tags that <libelf.h> leaves open. Their layout is nobody's business but ours.
struct Elf_Scn {
  Elf* elf = nullptr;
  size_t index = 0;
  Elf64_Shdr header{};
  bool loaded = false;  // `data` was filled in
  Elf_Data data{};
  std::unique_ptr<uint64_t[]> aligned;  // copy of contents that do not lie on 8 bytes in the image
};

struct Elf {
  const char* image = nullptr;
  size_t size = 0;
  bool mapped = false;  // `image` is ours to munmap
  Elf_Kind kind = ELF_K_NONE;
  unsigned char elf_class = ELFCLASSNONE;
  bool readable = false;  // the tables below are filled: ELF64 of our byte order, whole tables
  Elf64_Ehdr header{};
  std::vector<Elf_Scn> sections;  // never resized after opening: pointers into it are handed out
  std::vector<Elf64_Phdr> segments;
  size_t names = 0;   // index of the section with the section names
  size_t copied = 0;  // bytes of sections copied to aligned memory
};

namespace symsplice::elf {

// What went wrong last in this thread; a pointer to a constant string, or nullptr.
void SetError(const char* message);
const char* LastError();

// Reads header and tables of `image`, which must outlive the handle. nullptr for damaged tables.
Elf* Open(const char* image, size_t size, bool mapped);

// Contents of a section, or nullptr with the error set when they reach out of the image.
Elf_Data* Contents(Elf_Scn* section);

// True when [offset, offset + length) lies inside `size` bytes.
constexpr bool Inside(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}

}  // namespace symsplice::elf

// SPDX-License-Identifier: MIT
#include "elf_image.h"

#include <cstring>

namespace symsplice::elf {
namespace {

thread_local const char* last_error = nullptr;

constexpr unsigned char kHostOrder =
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;

// Sections of an honest file do not overlap, so copying all of them costs the file's size at most;
// a hostile one must not make thousands of copies of the same bytes.
constexpr size_t kMaxCopies = 2;

// Copies `count` records of a table out of the image; false when it does not lie inside.
template <typename Record>
bool CopyRecords(const Elf& elf, uint64_t offset, uint64_t count, Record* out) {
  if (count > elf.size / sizeof(Record)) return false;
  if (!Inside(offset, count * sizeof(Record), elf.size)) return false;
  if (count != 0) std::memcpy(out, elf.image + offset, count * sizeof(Record));
  return true;
}

bool ReadSections(Elf* elf) {
  const Elf64_Ehdr& header = elf->header;
  if (header.e_shoff == 0) return header.e_shnum == 0;
  if (header.e_shentsize != sizeof(Elf64_Shdr)) return false;
  Elf64_Shdr first;
  if (!CopyRecords(*elf, header.e_shoff, 1, &first)) return false;
  // Numbers too large for the 16-bit fields stand in section 0 (ELF gABI, "Sections").
  const uint64_t count = header.e_shnum != 0 ? header.e_shnum : first.sh_size;
  elf->names = header.e_shstrndx != SHN_XINDEX ? header.e_shstrndx : first.sh_link;
  if (count == 0 || count > elf->size / sizeof(Elf64_Shdr)) return false;
  if (!Inside(header.e_shoff, count * sizeof(Elf64_Shdr), elf->size)) return false;
  elf->sections.resize(count);
  for (size_t i = 0; i < count; ++i) {
    Elf_Scn& section = elf->sections[i];
    section.elf = elf;
    section.index = i;
    std::memcpy(&section.header, elf->image + header.e_shoff + i * sizeof(Elf64_Shdr),
                sizeof(Elf64_Shdr));
  }
  return elf->names < count;
}

bool ReadSegments(Elf* elf) {
  const Elf64_Ehdr& header = elf->header;
  if (header.e_phoff == 0) return header.e_phnum == 0;
  if (header.e_phnum == 0) return true;
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return false;
  uint64_t count = header.e_phnum;
  if (count == PN_XNUM) {
    if (elf->sections.empty()) return false;
    count = elf->sections[0].header.sh_info;
  }
  if (count > elf->size / sizeof(Elf64_Phdr)) return false;
  elf->segments.resize(count);
  return CopyRecords(*elf, header.e_phoff, count, elf->segments.data());
}

Elf_Type TypeOf(const Elf64_Shdr& header) {
  switch (header.sh_type) {
    case SHT_SYMTAB:
    case SHT_DYNSYM:
      return ELF_T_SYM;
    case SHT_REL:
      return ELF_T_REL;
    case SHT_RELA:
      return ELF_T_RELA;
    case SHT_NOTE:
      return ELF_T_NHDR;
    case SHT_GNU_versym:
      return ELF_T_HALF;
    case SHT_GNU_verdef:
      return ELF_T_VDEF;
    default:
      return ELF_T_BYTE;
  }
}

}  // namespace

void SetError(const char* message) { last_error = message; }
const char* LastError() { return last_error; }

Elf* Open(const char* image, size_t size, bool mapped) {
  auto elf = std::make_unique<Elf>();
  elf->image = image;
  elf->size = size;
  if (size < EI_NIDENT || std::memcmp(image, ELFMAG, SELFMAG) != 0) {
    // Not ELF at all is an answer (elf_kind says so), not an error, as in libelf.
    elf->mapped = mapped;
    return elf.release();
  }
  elf->kind = ELF_K_ELF;
  elf->elf_class = static_cast<unsigned char>(image[EI_CLASS]);
  elf->readable = elf->elf_class == ELFCLASS64 && image[EI_DATA] == kHostOrder;
  if (elf->readable) {
    if (!CopyRecords(*elf, 0, 1, &elf->header)) {
      SetError("file is shorter than its ELF header");
      return nullptr;
    }
    if (!ReadSections(elf.get())) {
      SetError("section table is damaged or reaches beyond the end of the file");
      return nullptr;
    }
    if (!ReadSegments(elf.get())) {
      SetError("program header table is damaged or reaches beyond the end of the file");
      return nullptr;
    }
  }
  elf->mapped = mapped;  // last: an Open that failed leaves the mapping to its caller
  return elf.release();
}

Elf_Data* Contents(Elf_Scn* section) {
  if (section->loaded) return &section->data;
  const Elf64_Shdr& header = section->header;
  Elf_Data& data = section->data;
  data.d_type = TypeOf(header);
  data.d_version = EV_CURRENT;
  data.d_align = header.sh_addralign;
  data.d_size = header.sh_size;
  if (header.sh_type == SHT_NOBITS) {  // occupies no bytes of the file: size without a buffer
    section->loaded = true;
    return &data;
  }
  Elf& elf = *section->elf;
  if (header.sh_type == SHT_NULL) data.d_size = 0;
  if (!Inside(header.sh_offset, data.d_size, elf.size)) {
    SetError("section reaches beyond the end of the file");
    return nullptr;
  }
  const char* bytes = elf.image + header.sh_offset;
  if (data.d_size != 0 && reinterpret_cast<uintptr_t>(bytes) % alignof(uint64_t) != 0) {
    // Callers cast to records with 8-byte members.
    elf.copied += data.d_size;
    if (elf.copied > kMaxCopies * elf.size) {
      SetError("sections overlap");
      return nullptr;
    }
    section->aligned = std::make_unique<uint64_t[]>((data.d_size + 7) / 8);
    std::memcpy(section->aligned.get(), bytes, data.d_size);
    bytes = reinterpret_cast<const char*>(section->aligned.get());
  }
  data.d_buf = data.d_size != 0 ? const_cast<char*>(bytes) : nullptr;
  section->loaded = true;
  return &data;
}

}  // namespace symsplice::elf

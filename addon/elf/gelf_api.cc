// SPDX-License-Identifier: MIT
// The gelf_* functions that libbpf.a (1.0 and later) leaves undefined; <gelf.h> documents them.
// Most serve libbpf's user-space probes, which symsplice never attaches: they must link and be
// right about bounds, and no more.
#include <cstring>

#include "elf_image.h"

namespace elf = symsplice::elf;

namespace {

// Copies the record at `offset` of `data`; nullptr with the error set when it is not whole.
template <typename Record>
Record* Copy(const Elf_Data* data, uint64_t offset, Record* out) {
  if (data == nullptr || data->d_buf == nullptr ||
      !elf::Inside(offset, sizeof(Record), data->d_size)) {
    elf::SetError("record reaches beyond the end of its section");
    return nullptr;
  }
  std::memcpy(out, static_cast<const char*>(data->d_buf) + offset, sizeof(Record));
  return out;
}

template <typename Record>
Record* CopyIndexed(const Elf_Data* data, int index, Record* out) {
  if (index < 0) {
    elf::SetError("negative index");
    return nullptr;
  }
  return Copy(data, static_cast<uint64_t>(index) * sizeof(Record), out);
}

template <typename Record>
Record* CopyAt(const Elf_Data* data, int offset, Record* out) {
  if (offset < 0) {
    elf::SetError("negative offset");
    return nullptr;
  }
  return Copy(data, static_cast<uint64_t>(offset), out);
}

constexpr uint64_t PadTo(uint64_t value, uint64_t align) {
  return (value + align - 1) / align * align;
}

}  // namespace

extern "C" {

int gelf_getclass(Elf* handle) { return handle == nullptr ? ELFCLASSNONE : handle->elf_class; }

GElf_Ehdr* gelf_getehdr(Elf* handle, GElf_Ehdr* out) {
  const Elf64_Ehdr* header = elf64_getehdr(handle);
  if (header == nullptr) return nullptr;
  *out = *header;
  return out;
}

GElf_Shdr* gelf_getshdr(Elf_Scn* section, GElf_Shdr* out) {
  const Elf64_Shdr* header = elf64_getshdr(section);
  if (header == nullptr) return nullptr;
  *out = *header;
  return out;
}

GElf_Phdr* gelf_getphdr(Elf* handle, int index, GElf_Phdr* out) {
  if (elf64_getehdr(handle) == nullptr) return nullptr;
  if (index < 0 || static_cast<size_t>(index) >= handle->segments.size()) {
    elf::SetError("no program header of that index");
    return nullptr;
  }
  *out = handle->segments[static_cast<size_t>(index)];
  return out;
}

GElf_Sym* gelf_getsym(Elf_Data* data, int index, GElf_Sym* out) {
  return CopyIndexed(data, index, out);
}

GElf_Rel* gelf_getrel(Elf_Data* data, int index, GElf_Rel* out) {
  return CopyIndexed(data, index, out);
}

GElf_Versym* gelf_getversym(Elf_Data* data, int index, GElf_Versym* out) {
  return CopyIndexed(data, index, out);
}

GElf_Verdef* gelf_getverdef(Elf_Data* data, int offset, GElf_Verdef* out) {
  return CopyAt(data, offset, out);
}

GElf_Verdaux* gelf_getverdaux(Elf_Data* data, int offset, GElf_Verdaux* out) {
  return CopyAt(data, offset, out);
}

// Offset of the next note, 0 at the end. Name and descriptor are padded to the section's
// alignment: 4 bytes, or 8 where the section says so (GNU property notes).
size_t gelf_getnote(Elf_Data* data, size_t offset, GElf_Nhdr* out, size_t* name_offset,
                    size_t* descriptor_offset) {
  if (data == nullptr || offset >= data->d_size) return 0;
  if (Copy(data, offset, out) == nullptr) return 0;
  const uint64_t align = data->d_align == 8 ? 8 : 4;
  const uint64_t name = offset + sizeof(GElf_Nhdr);
  const uint64_t descriptor = PadTo(name + out->n_namesz, align);
  const uint64_t end = descriptor + out->n_descsz;
  if (name + out->n_namesz > data->d_size || end > data->d_size) {
    elf::SetError("note reaches beyond the end of its section");
    return 0;
  }
  *name_offset = name;
  *descriptor_offset = descriptor;
  return PadTo(end, align);
}

}  // extern "C"

// SPDX-License-Identifier: MIT
// The elf_* functions that libbpf.a leaves undefined; <libelf.h> is their documentation.
// Hidden in the addon: a libelf that another addon loads keeps its own.
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>

#include "elf_image.h"

namespace elf = symsplice::elf;

extern "C" {

unsigned int elf_version(unsigned int version) {
  return version == EV_NONE || version == EV_CURRENT ? EV_CURRENT : EV_NONE;
}

const char* elf_errmsg(int error) {
  const char* message = elf::LastError();
  if (message == nullptr && error == -1) return "no error";
  return message;
}

Elf* elf_memory(char* image, size_t size) {
  if (image == nullptr) {
    elf::SetError("no image");
    return nullptr;
  }
  return elf::Open(image, size, false);
}

Elf* elf_begin(int descriptor, Elf_Cmd command, Elf* reference) {
  if (reference != nullptr || (command != ELF_C_READ && command != ELF_C_READ_MMAP)) {
    elf::SetError("only reading of whole files is supported");
    return nullptr;
  }
  struct stat status;
  if (fstat(descriptor, &status) != 0 || status.st_size < 0) {
    elf::SetError("cannot get the size of the file");
    return nullptr;
  }
  const size_t size = static_cast<size_t>(status.st_size);
  if (size == 0) return elf::Open("", 0, false);
  void* image = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (image == MAP_FAILED) {
    elf::SetError("cannot map the file");
    return nullptr;
  }
  Elf* handle = elf::Open(static_cast<const char*>(image), size, true);
  if (handle == nullptr) munmap(image, size);
  return handle;
}

int elf_end(Elf* handle) {
  if (handle == nullptr) return 0;
  if (handle->mapped) munmap(const_cast<char*>(handle->image), handle->size);
  delete handle;
  return 0;
}

Elf_Kind elf_kind(Elf* handle) { return handle == nullptr ? ELF_K_NONE : handle->kind; }

Elf64_Ehdr* elf64_getehdr(Elf* handle) {
  if (handle == nullptr || !handle->readable) {
    elf::SetError("not an ELF64 file of this machine's byte order");
    return nullptr;
  }
  return &handle->header;
}

int elf_getshdrnum(Elf* handle, size_t* count) {
  if (elf64_getehdr(handle) == nullptr) return -1;
  *count = handle->sections.size();
  return 0;
}

int elf_getshdrstrndx(Elf* handle, size_t* index) {
  if (elf64_getehdr(handle) == nullptr) return -1;
  *index = handle->names;
  return 0;
}

int elf_getphdrnum(Elf* handle, size_t* count) {
  if (elf64_getehdr(handle) == nullptr) return -1;
  *count = handle->segments.size();
  return 0;
}

Elf_Scn* elf_getscn(Elf* handle, size_t index) {
  if (elf64_getehdr(handle) == nullptr) return nullptr;
  if (index >= handle->sections.size()) {
    elf::SetError("no section of that index");
    return nullptr;
  }
  return &handle->sections[index];
}

Elf_Scn* elf_nextscn(Elf* handle, Elf_Scn* section) {
  // Section 0 is a placeholder: the walk starts at 1, and its end is not an error.
  const size_t next = section == nullptr ? 1 : section->index + 1;
  if (handle == nullptr || next >= handle->sections.size()) return nullptr;
  return &handle->sections[next];
}

size_t elf_ndxscn(Elf_Scn* section) { return section == nullptr ? SHN_UNDEF : section->index; }

Elf64_Shdr* elf64_getshdr(Elf_Scn* section) {
  if (section == nullptr) elf::SetError("no section");
  return section == nullptr ? nullptr : &section->header;
}

Elf_Data* elf_getdata(Elf_Scn* section, Elf_Data* previous) {
  // A section of a file that was only read has one piece of data.
  if (section == nullptr || previous != nullptr) return nullptr;
  return elf::Contents(section);
}

Elf_Data* elf_rawdata(Elf_Scn* section, Elf_Data* previous) {
  return elf_getdata(section, previous);
}

char* elf_strptr(Elf* handle, size_t index, size_t offset) {
  Elf_Scn* section = elf_getscn(handle, index);
  if (section == nullptr) return nullptr;
  if (section->header.sh_type != SHT_STRTAB) {
    elf::SetError("not a string section");
    return nullptr;
  }
  Elf_Data* data = elf::Contents(section);
  if (data == nullptr) return nullptr;
  char* text = static_cast<char*>(data->d_buf);
  if (offset >= data->d_size || memchr(text + offset, '\0', data->d_size - offset) == nullptr) {
    elf::SetError("string reaches beyond the end of its section");
    return nullptr;
  }
  return text + offset;
}

}  // extern "C"

// SPDX-License-Identifier: MIT
// The ELF reader of addon/elf: right on a whole file, an error (never a fault) on a damaged one.
// The sample is built here, byte by byte, so that the test needs no compiler for BPF; the objects
// that were built beside it (build/bpf) are read and damaged in the same way.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "elf/elf_image.h"
#include "tap.h"

namespace {

using Bytes = std::vector<char>;

template <typename Record>
size_t Append(Bytes* out, const Record& record) {
  const size_t at = out->size();
  const char* bytes = reinterpret_cast<const char*>(&record);
  out->insert(out->end(), bytes, bytes + sizeof(record));
  return at;
}

// Sections: 0 null, 1 ".text" (odd offset), 2 ".symtab" (two symbols), 3 ".strtab", 4 ".bss",
// 5 ".note" (one note).
Bytes Sample() {
  static const char names[] = "\0.text\0.symtab\0.strtab\0.bss\0.note";
  Bytes out(sizeof(Elf64_Ehdr), 0);
  Elf64_Shdr sections[6] = {};
  out.push_back(0x7f);  // puts .text on an odd offset
  const char text[16] = "0123456789abcde";
  sections[1].sh_name = 1;
  sections[1].sh_type = SHT_PROGBITS;
  sections[1].sh_offset = Append(&out, text);
  sections[1].sh_size = sizeof(text);
  Elf64_Sym symbols[2] = {};
  symbols[1].st_value = 42;
  sections[2].sh_name = 7;
  sections[2].sh_type = SHT_SYMTAB;
  sections[2].sh_offset = Append(&out, symbols);
  sections[2].sh_size = sizeof(symbols);
  sections[2].sh_entsize = sizeof(Elf64_Sym);
  sections[2].sh_link = 3;
  sections[3].sh_name = 15;
  sections[3].sh_type = SHT_STRTAB;
  sections[3].sh_offset = Append(&out, names);
  sections[3].sh_size = sizeof(names);
  sections[4].sh_name = 23;
  sections[4].sh_type = SHT_NOBITS;
  sections[4].sh_offset = ~0ull;
  sections[4].sh_size = 1 << 20;
  const Elf64_Nhdr note = {4, 6, 1};
  sections[5].sh_name = 28;
  sections[5].sh_type = SHT_NOTE;
  sections[5].sh_offset = Append(&out, note);
  sections[5].sh_size = sizeof(note) + 4 + 8;
  Append(&out, "GNU");
  const char descriptor[8] = "12345\0";
  Append(&out, descriptor);
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_REL;
  header.e_machine = EM_BPF;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 6;
  header.e_shstrndx = 3;
  header.e_shoff = Append(&out, sections);
  std::memcpy(out.data(), &header, sizeof(header));
  return out;
}

// Calls everything on whatever `bytes` are and reads all that is handed out. Returns a sum of what
// was read so that no compiler leaves the reading out.
uint64_t ReadAll(const Bytes& bytes) {
  uint64_t sum = 0;
  // Own allocation of the exact size: the address sanitizer sees the first byte beyond it.
  std::vector<char> image(bytes);
  image.shrink_to_fit();
  char nothing = 0;
  Elf* elf = elf_memory(image.empty() ? &nothing : image.data(), image.size());
  if (elf == nullptr) return elf_errmsg(-1)[0];
  size_t names = 0, count = 0;
  sum += elf_kind(elf) + gelf_getclass(elf) + (elf64_getehdr(elf) != nullptr);
  if (elf_getshdrstrndx(elf, &names) == 0) sum += names;
  if (elf_getshdrnum(elf, &count) == 0) sum += count;
  if (elf_getphdrnum(elf, &count) == 0) {
    GElf_Phdr segment;
    for (size_t i = 0; i <= count; ++i)
      if (gelf_getphdr(elf, static_cast<int>(i), &segment) != nullptr) sum += segment.p_type;
  }
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr) continue;
    const char* name = elf_strptr(elf, names, header.sh_name);
    if (name != nullptr) sum += std::strlen(name);
    Elf_Data* data = elf_getdata(section, nullptr);
    if (data == nullptr) continue;
    if (data->d_buf != nullptr)
      for (size_t i = 0; i < data->d_size; ++i) sum += static_cast<unsigned char*>(data->d_buf)[i];
    GElf_Sym symbol;
    for (int i = -1; i < 4; ++i)
      if (gelf_getsym(data, i, &symbol) != nullptr) sum += symbol.st_value;
    GElf_Verdef definition;
    GElf_Verdaux auxiliary;
    GElf_Versym version;
    GElf_Rel relocation;
    if (gelf_getverdef(data, 3, &definition) != nullptr) sum += definition.vd_aux;
    if (gelf_getverdaux(data, -3, &auxiliary) != nullptr) sum += auxiliary.vda_next;
    if (gelf_getversym(data, 7, &version) != nullptr) sum += version;
    if (gelf_getrel(data, 1, &relocation) != nullptr) sum += relocation.r_offset;
    GElf_Nhdr note;
    size_t name_at, descriptor_at;
    // A walk over notes must end: each step is at least a header long.
    for (size_t at = 0, next; (next = gelf_getnote(data, at, &note, &name_at, &descriptor_at)) > 0;
         at = next) {
      if (data->d_buf == nullptr) abort();
      const unsigned char* base = static_cast<unsigned char*>(data->d_buf);
      for (size_t i = 0; i < note.n_namesz; ++i) sum += base[name_at + i];
      for (size_t i = 0; i < note.n_descsz; ++i) sum += base[descriptor_at + i];
      if (next <= at) abort();
    }
  }
  elf_end(elf);
  return sum;
}

uint64_t Random(uint64_t* state) {  // xorshift64*: the same damage on every machine
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * 2685821657736338717ull;
}

uint64_t Damage(const Bytes& whole, size_t rounds, size_t cuts) {
  uint64_t sum = 0, state = 88172645463325252ull;
  const size_t step = whole.size() / cuts + 1;
  for (size_t length = 0; length < whole.size(); length += step)
    sum += ReadAll(Bytes(whole.begin(), whole.begin() + static_cast<long>(length)));
  static const uint64_t edges[] = {0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff,
                                   ~0ull, ~0ull - 63, 1ull << 63};
  Elf64_Ehdr header;
  std::memcpy(&header, whole.data(), sizeof(header));
  for (size_t round = 0; round < rounds; ++round) {
    Bytes bytes(whole);
    const size_t hits = 1 + Random(&state) % 4;
    for (size_t hit = 0; hit < hits; ++hit) {
      // Mostly the tables: damage of contents changes little.
      size_t at = Random(&state) % bytes.size();
      if (Random(&state) % 4 == 0) at = Random(&state) % sizeof(header);
      if (Random(&state) % 4 != 0) at = header.e_shoff + Random(&state) % (bytes.size() - header.e_shoff);
      const uint64_t value = Random(&state) % 2 ? edges[Random(&state) % std::size(edges)]
                                                : Random(&state);
      const size_t width = size_t{1} << Random(&state) % 4;
      std::memcpy(bytes.data() + at, &value, std::min(width, bytes.size() - at));
    }
    sum += ReadAll(bytes);
  }
  return sum;
}

void Whole(const Bytes& bytes) {
  Bytes image(bytes);
  TAP_OK(elf_version(EV_CURRENT) == EV_CURRENT, "version agreed on");
  Elf* elf = elf_memory(image.data(), image.size());
  TAP_OK(elf != nullptr && elf_kind(elf) == ELF_K_ELF, "a whole file opens");
  size_t names = 0, count = 0;
  TAP_OK(elf_getshdrnum(elf, &count) == 0 && count == 6, "section 0 is counted");
  TAP_OK(elf_getshdrstrndx(elf, &names) == 0 && names == 3, "section of the names is found");
  Elf_Scn* text = elf_nextscn(elf, nullptr);
  TAP_OK(elf_ndxscn(text) == 1, "the walk begins at section 1");
  TAP_OK(std::strcmp(elf_strptr(elf, names, elf64_getshdr(text)->sh_name), ".text") == 0, "name");
  Elf_Data* data = elf_getdata(text, nullptr);
  TAP_OK(data != nullptr && data->d_size == 16 && std::memcmp(data->d_buf, "0123", 4) == 0,
         "contents are right");
  TAP_OK(reinterpret_cast<uintptr_t>(data->d_buf) % 8 == 0, "contents are aligned");
  TAP_OK(elf_getdata(text, data) == nullptr, "there is one piece of data");
  GElf_Sym symbol;
  Elf_Data* symbols = elf_getdata(elf_getscn(elf, 2), nullptr);
  TAP_OK(gelf_getsym(symbols, 1, &symbol) != nullptr && symbol.st_value == 42, "symbol");
  TAP_OK(gelf_getsym(symbols, 2, &symbol) == nullptr, "no symbol beyond the last");
  Elf_Data* bss = elf_getdata(elf_getscn(elf, 4), nullptr);
  TAP_OK(bss != nullptr && bss->d_buf == nullptr && bss->d_size == 1 << 20, "NOBITS has a size only");
  GElf_Nhdr note;
  size_t name_at, descriptor_at;
  Elf_Data* notes = elf_getdata(elf_getscn(elf, 5), nullptr);
  const size_t next = gelf_getnote(notes, 0, &note, &name_at, &descriptor_at);
  TAP_OK(next == 24 && name_at == 12 && descriptor_at == 16, "note is padded to four bytes");
  TAP_OK(gelf_getnote(notes, next, &note, &name_at, &descriptor_at) == 0, "notes end");
  TAP_OK(elf_strptr(elf, 3, 1 << 30) == nullptr && elf_errmsg(-1) != nullptr, "string out of bounds");
  TAP_OK(elf_strptr(elf, 2, 0) == nullptr, "no strings in a symbol section");
  TAP_OK(elf_getscn(elf, 6) == nullptr, "no section beyond the last");
  elf_end(elf);
}

void Refusals(const Bytes& whole) {
  Bytes text{'#', '!', '/', 'b', 'i', 'n'};
  text.resize(200);
  Elf* elf = elf_memory(text.data(), text.size());
  TAP_OK(elf != nullptr && elf_kind(elf) == ELF_K_NONE, "a text file is not ELF");
  TAP_OK(elf64_getehdr(elf) == nullptr, "and has no header");
  elf_end(elf);
  Bytes other(whole);
  other[EI_DATA] = other[EI_DATA] == ELFDATA2LSB ? ELFDATA2MSB : ELFDATA2LSB;
  elf = elf_memory(other.data(), other.size());
  TAP_OK(elf != nullptr && elf64_getehdr(elf) == nullptr, "the other byte order is refused");
  elf_end(elf);
  Bytes narrow(whole);
  narrow[EI_CLASS] = ELFCLASS32;
  elf = elf_memory(narrow.data(), narrow.size());
  TAP_OK(elf != nullptr && gelf_getclass(elf) == ELFCLASS32 && elf64_getehdr(elf) == nullptr,
         "32 bits are named and refused");
  elf_end(elf);
  Bytes cut(whole.begin(), whole.end() - 1);
  TAP_OK(elf_memory(cut.data(), cut.size()) == nullptr, "a cut section table is refused");
  TAP_OK(elf_begin(-1, ELF_C_READ, nullptr) == nullptr, "a closed descriptor is refused");
  TAP_OK(elf_begin(0, ELF_C_RDWR, nullptr) == nullptr, "writing is refused");
}

void Files(const char* self) {
  FILE* file = fopen(self, "rb");
  Elf* elf = file == nullptr ? nullptr : elf_begin(fileno(file), ELF_C_READ_MMAP, nullptr);
  TAP_OK(elf != nullptr && elf_kind(elf) == ELF_K_ELF, "this executable opens from its descriptor");
  size_t segments = 0;
  TAP_OK(elf_getphdrnum(elf, &segments) == 0 && segments > 0, "and has program headers");
  elf_end(elf);
  if (file != nullptr) fclose(file);
}

}  // namespace

int main(int, char** argv) {
  const Bytes sample = Sample();
  Whole(sample);
  Refusals(sample);
  Files(argv[0]);
  TAP_OK(ReadAll({}) != 1, "an empty file");
  TAP_OK(Damage(sample, 20000, sample.size()) != 1, "20000 damaged samples, every cut");
  const auto objects = std::filesystem::path(argv[0]).parent_path() / "../bpf";
  std::error_code none;  // no such directory where clang is missing: then there are no objects
  for (const auto& entry : std::filesystem::directory_iterator(objects, none)) {
    if (entry.path().extension() != ".o") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    const Bytes object((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (!TAP_OK(object.size() > sizeof(Elf64_Ehdr), "object is readable")) continue;
    TAP_OK(Damage(object, 2000, 200) != 1, "2000 damaged objects, 200 cuts");
  }
  return tap_end();
}

// SPDX-License-Identifier: MIT
#include "bpf_object.h"

#include <bpf/bpf.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "elf/elf_image.h"
#include "splice/abi.h"

// libbpf.a was compiled for executables and refers to stderr in a way that a shared object cannot
// resolve; cmake/LibBpf.cmake renames its reference to this one. It is used only when no print
// function is set, and CaptureLibbpfMessages sets one.
extern "C" {
FILE* splice_bpf_stderr = nullptr;
}

namespace symsplice {
namespace {

constexpr char kAbiSection[] = "splice_abi";

thread_local std::string* sink = nullptr;

class Capture {
 public:
  explicit Capture(std::string* into) {
    into->clear();
    sink = into;
  }
  ~Capture() { sink = nullptr; }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
};

int Print(libbpf_print_level level, const char* format, va_list arguments) {
  if (sink == nullptr || level != LIBBPF_WARN) return 0;
  va_list again;
  va_copy(again, arguments);
  const int length = vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (length <= 0) return 0;
  const size_t before = sink->size();
  sink->resize(before + static_cast<size_t>(length) + 1);
  vsnprintf(sink->data() + before, static_cast<size_t>(length) + 1, format, arguments);
  sink->pop_back();
  return length;
}

std::string Words(int error) { return std::generic_category().message(error); }

// 0 for an object without the section: no version of ours.
uint32_t ReadAbiVersion(const char* image, size_t size) {
  uint32_t version = 0;
  Elf* elf = elf_memory(const_cast<char*>(image), size);
  size_t names = 0;
  if (elf != nullptr && elf_getshdrstrndx(elf, &names) == 0) {
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
      const char* name = elf_strptr(elf, names, elf64_getshdr(section)->sh_name);
      if (name == nullptr || std::strcmp(name, kAbiSection) != 0) continue;
      const Elf_Data* data = elf_getdata(section, nullptr);
      if (data != nullptr && data->d_buf != nullptr && data->d_size == sizeof(version)) {
        std::memcpy(&version, data->d_buf, sizeof(version));
      }
    }
  }
  elf_end(elf);
  return version;
}

}  // namespace

void CaptureLibbpfMessages() { libbpf_set_print(Print); }

BpfObject::LogBuffer::LogBuffer() {
  void* memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  data_ = memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

BpfObject::LogBuffer::~LogBuffer() {
  if (data_ != nullptr) munmap(data_, kSize);
}

BpfFailure BpfObject::Said(const char* what, int error) {
  return {BpfFailure::Kind::kSystem,
          options_.name + ": " + what + ": " + Words(error), error, "bpf", {}, said_};
}

BpfResult BpfObject::Open(std::span<const uint8_t> bytes, const BpfOptions& options,
                          std::unique_ptr<BpfObject>* out) {
  const char* image = reinterpret_cast<const char*>(bytes.data());
  const uint32_t version = bytes.empty() ? 0 : ReadAbiVersion(image, bytes.size());
  if (version != SPLICE_ABI_VERSION) {
    return BpfFailure{BpfFailure::Kind::kAbi,
                      options.name + ": the BPF object has ABI version " +
                          (version == 0 ? "none" : std::to_string(version)) +
                          ", the addon has " + std::to_string(SPLICE_ABI_VERSION) +
                          "; build both together"};
  }
  std::unique_ptr<BpfObject> object(new BpfObject(options));
  LIBBPF_OPTS(bpf_object_open_opts, open_options, .object_name = object->options_.name.c_str());
  const Capture capture(&object->said_);
  object->object_ = bpf_object__open_mem(image, bytes.size(), &open_options);
  if (object->object_ == nullptr) return object->Said("cannot read the BPF object", errno);
  if (BpfResult failure = object->Configure()) return failure;
  *out = std::move(object);
  return std::nullopt;
}

BpfResult BpfObject::Configure() {
  for (const auto& [map_name, entries] : options_.sizes) {
    bpf_map* map = FindMap(map_name);
    const int error = map == nullptr ? ENOENT : -bpf_map__set_max_entries(map, entries);
    if (error != 0) {
      return BpfFailure{BpfFailure::Kind::kArgument,
                        options_.name + ": cannot size map \"" + map_name + "\": " +
                            (map == nullptr ? "there is no such map" : Words(error)),
                        error, "", map_name};
    }
  }
  for (const auto& [map_name, fd] : options_.reuse) {
    bpf_map* map = FindMap(map_name);
    const int error = map == nullptr ? ENOENT : -bpf_map__reuse_fd(map, fd);
    if (error != 0) {
      return BpfFailure{BpfFailure::Kind::kSystem,
                        options_.name + ": cannot take over map \"" + map_name +
                            "\": " + Words(error),
                        error, "bpf", map_name};
    }
  }
  return std::nullopt;
}

BpfObject::~BpfObject() {
  // A pinned map outlives this process, and its program must go on judging its sockets.
  for (const Attachment& attachment : attachments_) {
    if (options_.pin_directory.empty()) {
      bpf_prog_detach2(attachment.program_fd, attachment.map_fd, attachment.type);
    }
  }
  bpf_object__close(object_);
}

BpfResult BpfObject::PreparePins() {
  const std::string& directory = options_.pin_directory;
  if (directory.empty()) return std::nullopt;
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    const int error = errno;
    return BpfFailure{BpfFailure::Kind::kSystem,
                      options_.name + ": cannot make " + directory + ": " + Words(error), error,
                      "mkdir"};
  }
  struct statfs status;
  if (statfs(directory.c_str(), &status) != 0 || status.f_type != BPF_FS_MAGIC) {
    return BpfFailure{BpfFailure::Kind::kSystem,
                      options_.name + ": " + directory + " is not on a BPF file system; "
                      "mount one (mount -t bpf bpf /sys/fs/bpf)", EINVAL, "statfs"};
  }
  bpf_map* map;
  bpf_object__for_each_map(map, object_) {
    if (bpf_map__is_internal(map)) continue;
    const std::string path = directory + "/" + bpf_map__name(map);
    if (!options_.reuse_pins && access(path.c_str(), F_OK) == 0) {
      return BpfFailure{BpfFailure::Kind::kSystem,
                        options_.name + ": " + path + " exists already; reuse it or remove it",
                        EEXIST, "access", bpf_map__name(map)};
    }
    if (const int error = bpf_map__set_pin_path(map, path.c_str()); error != 0) {
      return Said("cannot set the path of a pin", -error);
    }
  }
  return std::nullopt;
}

BpfResult BpfObject::Load() {
  if (loaded_) {
    return BpfFailure{BpfFailure::Kind::kArgument, options_.name + ": is loaded already", EALREADY};
  }
  if (BpfResult failure = PreparePins()) return failure;
  // libbpf asks for a log only after a first attempt failed, so that the buffers cost nothing
  // when all goes well.
  std::map<std::string, std::unique_ptr<LogBuffer>> logs;
  bpf_program* program;
  bpf_object__for_each_program(program, object_) {
    auto log = std::make_unique<LogBuffer>();
    if (log->data() != nullptr) {
      bpf_program__set_log_buf(program, log->data(), LogBuffer::kSize);
      logs.emplace(bpf_program__name(program), std::move(log));
    }
  }
  const Capture capture(&said_);
  const int error = -bpf_object__load(object_);
  BpfResult failure;
  if (error != 0) {
    failure = Said("the kernel did not load the BPF object", error);
    for (const auto& [program_name, log] : logs) {
      if (log->data()[0] == '\0') continue;
      failure->kind = BpfFailure::Kind::kVerifier;
      failure->program = program_name;
      failure->log = log->data();
      break;  // libbpf stops at the first program that fails
    }
  }
  // libbpf keeps the addresses of the buffers, but loads an object once only, whether it
  // succeeds or fails, and looks at them nowhere else.
  loaded_ = error == 0;
  return failure;
}

BpfResult BpfObject::AttachToSockmap(const std::string& program_name,
                                     const std::string& map_name) {
  const bpf_program* program = FindProgram(program_name);
  const bpf_map* map = FindMap(map_name);
  if (!loaded_ || program == nullptr || map == nullptr) {
    return BpfFailure{BpfFailure::Kind::kArgument,
                      options_.name + ": attach(" + program_name + ", " + map_name + "): " +
                          (loaded_ ? "no such program or map" : "load the object first"),
                      EINVAL};
  }
  const Attachment attachment{bpf_program__fd(program), bpf_map__fd(map),
                              bpf_program__expected_attach_type(program)};
  const Capture capture(&said_);
  const int error =
      -bpf_prog_attach(attachment.program_fd, attachment.map_fd, attachment.type, 0);
  if (error != 0) {
    BpfFailure failure = Said("cannot attach to the sockmap", error);
    failure.program = program_name;
    return failure;
  }
  attachments_.push_back(attachment);
  return std::nullopt;
}

BpfResult BpfObject::Unpin() {
  bpf_map* map;
  const Capture capture(&said_);
  bpf_object__for_each_map(map, object_) {
    if (!bpf_map__is_pinned(map)) continue;
    if (const int error = -bpf_map__unpin(map, nullptr); error != 0) {
      return Said("cannot remove a pin", error);
    }
  }
  return std::nullopt;
}

bpf_map* BpfObject::FindMap(const std::string& name) const {
  return bpf_object__find_map_by_name(object_, name.c_str());
}

bpf_program* BpfObject::FindProgram(const std::string& name) const {
  return bpf_object__find_program_by_name(object_, name.c_str());
}

BpfResult BpfObject::ExpectMap(const char* name, uint32_t key_size, uint32_t value_size,
                               int* fd) const {
  const bpf_map* map = FindMap(name);
  if (map == nullptr || bpf_map__key_size(map) != key_size ||
      bpf_map__value_size(map) != value_size) {
    return BpfFailure{
        BpfFailure::Kind::kAbi,
        options_.name + ": map \"" + name + "\" has " +
            (map == nullptr ? "no entry in the object"
                            : "keys of " + std::to_string(bpf_map__key_size(map)) +
                                  " and values of " + std::to_string(bpf_map__value_size(map)) +
                                  " bytes") +
            ", the addon wants " + std::to_string(key_size) + " and " +
            std::to_string(value_size) + "; build both together",
        0, "", name};
  }
  *fd = bpf_map__fd(map);
  return std::nullopt;
}

std::string BpfObject::Tag(const bpf_program* program) {
  bpf_prog_info info{};
  uint32_t length = sizeof(info);
  const int fd = bpf_program__fd(program);
  if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length) != 0) return {};
  std::string tag;
  for (const unsigned char byte : info.tag) {
    char digits[3];
    snprintf(digits, sizeof(digits), "%02x", byte);
    tag += digits;
  }
  return tag;
}

}  // namespace symsplice

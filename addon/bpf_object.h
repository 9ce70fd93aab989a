// SPDX-License-Identifier: MIT
// One BPF object file on its way into the kernel: open, set sizes, load, attach, pin.
//
// A named, narrow face of libbpf (1.1 or later). Called on the JavaScript thread by
// bpf_loader.cc and sockmap.cc; lookups and updates of maps are single system calls and may come
// from any thread while the object lives. Nothing here throws and nothing is printed: a failure
// is a value that keeps all that libbpf and the verifier said.
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace symsplice {

struct BpfFailure {
  enum class Kind { kArgument, kSystem, kVerifier, kAbi };
  Kind kind;
  std::string message;  // one line, names the next step where there is one
  int error = 0;        // errno, positive
  const char* syscall = "";
  std::string program = {};  // the program or map that failed, empty when none is known
  std::string log = {};      // the verifier's whole log, or what libbpf said
};
// No value: all went well.
using BpfResult = std::optional<BpfFailure>;

struct BpfOptions {
  std::string name;                            // names the object in messages
  std::map<std::string, uint32_t> sizes = {};  // max_entries by map
  std::string pin_directory = {};              // on a bpffs; empty: nothing is pinned
  bool reuse_pins = false;                     // take over maps found there instead of refusing
  std::map<std::string, int> reuse = {};       // descriptors of maps to use instead of new ones
};

class BpfObject {
 public:
  // Parses the object; `bytes` are copied. Refuses another ABI version before libbpf sees them.
  static BpfResult Open(std::span<const uint8_t> bytes, const BpfOptions& options,
                        std::unique_ptr<BpfObject>* out);
  ~BpfObject();  // detaches and unloads what is not pinned
  BpfObject(const BpfObject&) = delete;
  BpfObject& operator=(const BpfObject&) = delete;

  // Creates maps (or takes over pinned ones), loads programs, pins the maps that are ours.
  BpfResult Load();
  bool loaded() const { return loaded_; }
  const std::string& name() const { return options_.name; }

  // Attaches an sk_skb program to a sockmap or sockhash. Before any socket is inserted: sockets
  // inserted earlier would stay without it. Undone when the object ends.
  BpfResult AttachToSockmap(const std::string& program, const std::string& map);

  // Removes the pins that this object made or took over.
  BpfResult Unpin();

  bpf_map* FindMap(const std::string& name) const;
  bpf_program* FindProgram(const std::string& name) const;
  // A map's descriptor when it exists and has just this layout, else a failure of kind kAbi.
  BpfResult ExpectMap(const char* name, uint32_t key_size, uint32_t value_size, int* fd) const;
  // The kernel's tag of a loaded program: eight bytes in hexadecimal, empty when unknown.
  static std::string Tag(const bpf_program* program);
  bpf_object* raw() const { return object_; }

 private:
  explicit BpfObject(const BpfOptions& options) : options_(options) {}
  BpfResult Configure();
  BpfResult PreparePins();
  BpfFailure Said(const char* what, int error);

  struct Attachment {
    int program_fd;
    int map_fd;
    bpf_attach_type type;
  };
  // Where the kernel writes the verifier's log; most of it is never touched, so never allocated.
  class LogBuffer {
   public:
    LogBuffer();
    ~LogBuffer();
    LogBuffer(const LogBuffer&) = delete;
    LogBuffer& operator=(const LogBuffer&) = delete;
    char* data() const { return data_; }
    static constexpr size_t kSize = (16u << 20) - 1;  // most that kernels before 5.2 take

   private:
    char* data_;
  };

  BpfOptions options_;
  bpf_object* object_ = nullptr;
  bool loaded_ = false;
  std::string said_;  // libbpf's warnings since the last call
  std::vector<Attachment> attachments_;
};

// Sends libbpf's messages to the call that caused them instead of stderr. Once a process.
void CaptureLibbpfMessages();

}  // namespace symsplice

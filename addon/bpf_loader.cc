// SPDX-License-Identifier: MIT
#include "bpf_loader.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "bpf_test_run.h"
#include "error.h"

namespace symsplice {
namespace {

// Marks our objects, so that a foreign one passed by mistake is refused instead of misread.
constexpr napi_type_tag kTypeTag = {0x5c1e6a9b7f3d4820, 0x91d7b2c4e8f05a36};

const char* CodeOf(BpfFailure::Kind kind) {
  switch (kind) {
    case BpfFailure::Kind::kArgument:
      return "ERR_SPLICE_ARGUMENT";
    case BpfFailure::Kind::kVerifier:
      return "ERR_SPLICE_VERIFIER";
    case BpfFailure::Kind::kAbi:
      return "ERR_SPLICE_ABI";
    case BpfFailure::Kind::kSystem:
      break;
  }
  return "ERR_SPLICE_SYSTEM";
}

bool ReadOptions(const Napi::Object& object, BpfOptions* out) {
  const Napi::Value name = object.Get("name");
  if (!name.IsString()) return false;
  out->name = name.As<Napi::String>().Utf8Value();
  if (const Napi::Value sizes = object.Get("sizes"); sizes.IsObject()) {
    const auto table = sizes.As<Napi::Object>();
    const Napi::Array keys = table.GetPropertyNames();
    for (uint32_t i = 0; i < keys.Length(); i++) {
      const Napi::Value key = keys.Get(i);
      const Napi::Value size = table.Get(key);
      if (!size.IsNumber()) return false;
      const double entries = size.As<Napi::Number>().DoubleValue();
      if (!(entries >= 1 && entries <= UINT32_MAX)) return false;
      out->sizes[key.As<Napi::String>().Utf8Value()] = static_cast<uint32_t>(entries);
    }
  }
  if (const Napi::Value pin = object.Get("pin"); pin.IsString()) {
    out->pin_directory = pin.As<Napi::String>().Utf8Value();
  }
  out->reuse_pins = object.Get("reuse").ToBoolean();
  return true;
}

size_t Cpus() {
  const int count = libbpf_num_possible_cpus();
  return count > 0 ? static_cast<size_t>(count) : 0;
}

// What one lookup fills: per-CPU maps give one value a CPU, each padded to eight bytes.
size_t ValueBytes(const bpf_map* map) {
  switch (bpf_map__type(map)) {
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
      return (bpf_map__value_size(map) + 7) / 8 * 8 * Cpus();
    default:
      return bpf_map__value_size(map);
  }
}

// The bytes of argument `index` when it is a Uint8Array of `size`, else nullptr.
const uint8_t* BytesArgument(const Napi::CallbackInfo& info, size_t index, size_t size) {
  if (info.Length() <= index || !info[index].IsTypedArray()) return nullptr;
  const auto array = info[index].As<Napi::TypedArray>();
  if (array.TypedArrayType() != napi_uint8_array || array.ByteLength() != size) return nullptr;
  return info[index].As<Napi::Uint8Array>().Data();
}

Napi::Value ThrowSize(Napi::Env env, const bpf_map* map) {
  return ThrowBpfFailure(
      env, {BpfFailure::Kind::kArgument,
            std::string("map \"") + bpf_map__name(map) + "\" takes keys of " +
                std::to_string(bpf_map__key_size(map)) + " and values of " +
                std::to_string(ValueBytes(map)) + " bytes",
            EINVAL, "", bpf_map__name(map)});
}

Napi::Value ThrowMap(Napi::Env env, const bpf_map* map, const char* call) {
  const int error = errno;
  return ThrowBpfFailure(env, {BpfFailure::Kind::kSystem,
                               std::string("map \"") + bpf_map__name(map) + "\": " + call + ": " +
                                   std::generic_category().message(error),
                               error, "bpf", bpf_map__name(map)});
}

}  // namespace

Napi::Value ThrowBpfFailure(Napi::Env env, const BpfFailure& failure) {
  Napi::Error exception = Napi::Error::New(env, failure.message);
  exception.Set("code", Napi::String::New(env, CodeOf(failure.kind)));
  if (failure.error != 0) {
    exception.Set("errno", Napi::Number::New(env, -failure.error));
    exception.Set("errnoName", Napi::String::New(env, ErrnoName(failure.error)));
  }
  exception.Set("syscall", Napi::String::New(env, failure.syscall));
  exception.Set("program", Napi::String::New(env, failure.program));
  exception.Set("log", Napi::String::New(env, failure.log));
  exception.ThrowAsJavaScriptException();
  return env.Undefined();
}

void BpfLoader::Init(Napi::Env env, Napi::Object exports) {
  exports.Set("BpfObject", DefineClass(env, "BpfObject",
                                       {
                                           InstanceMethod<&BpfLoader::Load>("load"),
                                           InstanceMethod<&BpfLoader::Attach>("attach"),
                                           InstanceMethod<&BpfLoader::Unpin>("unpin"),
                                           InstanceMethod<&BpfLoader::Close>("close"),
                                           InstanceMethod<&BpfLoader::Programs>("programs"),
                                           InstanceMethod<&BpfLoader::Maps>("maps"),
                                           InstanceMethod<&BpfLoader::Lookup>("lookup"),
                                           InstanceMethod<&BpfLoader::Update>("update"),
                                           InstanceMethod<&BpfLoader::Delete>("delete"),
                                           InstanceMethod<&BpfLoader::Keys>("keys"),
                                           InstanceMethod<&BpfLoader::Counters>("counters"),
                                           InstanceMethod<&BpfLoader::TestRun>("testRun"),
                                       }));
}

// new BpfObject(bytes, { name, sizes?, pin?, reuse? })
BpfLoader::BpfLoader(const Napi::CallbackInfo& info) : Napi::ObjectWrap<BpfLoader>(info) {
  Napi::Env env = info.Env();
  BpfOptions options;
  const bool bytes_given = info.Length() > 1 && info[0].IsTypedArray() &&
                           info[0].As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
  if (!bytes_given || !info[1].IsObject() || !ReadOptions(info[1].As<Napi::Object>(), &options)) {
    ThrowType(env, "BpfObject(bytes: Uint8Array, options: { name, sizes?, pin?, reuse? })");
    return;
  }
  const auto bytes = info[0].As<Napi::Uint8Array>();
  std::unique_ptr<BpfObject> object;
  const BpfResult failure =
      BpfObject::Open({bytes.Data(), bytes.ByteLength()}, options, &object);
  if (failure) {
    ThrowBpfFailure(env, *failure);
    return;
  }
  object_ = std::move(object);
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
}

BpfLoader* BpfLoader::From(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTypeTag)) return nullptr;
  return Unwrap(value.As<Napi::Object>());
}

bpf_map* BpfLoader::MapArgument(const Napi::CallbackInfo& info) {
  bpf_map* map = nullptr;
  if (object_ != nullptr && object_->loaded() && info.Length() > 0 && info[0].IsString()) {
    map = object_->FindMap(info[0].As<Napi::String>().Utf8Value());
  }
  if (map == nullptr) {
    ThrowBpfFailure(info.Env(), {BpfFailure::Kind::kArgument,
                                 "no such map, or the BPF object is not loaded", ENOENT});
  }
  return map;
}

// load()
Napi::Value BpfLoader::Load(const Napi::CallbackInfo& info) {
  if (object_ == nullptr) return ThrowErrno(info.Env(), EBADF, "load");
  if (const BpfResult failure = object_->Load()) return ThrowBpfFailure(info.Env(), *failure);
  return info.Env().Undefined();
}

// attach(program, map)
Napi::Value BpfLoader::Attach(const Napi::CallbackInfo& info) {
  if (object_ == nullptr) return ThrowErrno(info.Env(), EBADF, "attach");
  const BpfResult failure =
      object_->AttachToSockmap(info[0].ToString().Utf8Value(), info[1].ToString().Utf8Value());
  if (failure) return ThrowBpfFailure(info.Env(), *failure);
  return info.Env().Undefined();
}

// unpin()
Napi::Value BpfLoader::Unpin(const Napi::CallbackInfo& info) {
  if (object_ == nullptr) return ThrowErrno(info.Env(), EBADF, "unpin");
  if (const BpfResult failure = object_->Unpin()) return ThrowBpfFailure(info.Env(), *failure);
  return info.Env().Undefined();
}

// close(): may be called again; pins stay.
Napi::Value BpfLoader::Close(const Napi::CallbackInfo& info) {
  object_.reset();
  return info.Env().Undefined();
}

// programs() -> { name, section, type, tag }[]
Napi::Value BpfLoader::Programs(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (object_ == nullptr) return ThrowErrno(env, EBADF, "programs");
  Napi::Array out = Napi::Array::New(env);
  bpf_program* program;
  bpf_object__for_each_program(program, object_->raw()) {
    Napi::Object entry = Napi::Object::New(env);
    const char* type = libbpf_bpf_prog_type_str(bpf_program__type(program));
    entry.Set("name", bpf_program__name(program));
    entry.Set("section", bpf_program__section_name(program));
    entry.Set("type", type != nullptr ? type : "");
    entry.Set("tag", BpfObject::Tag(program));
    out.Set(out.Length(), entry);
  }
  return out;
}

// maps() -> { name, type, keySize, valueSize, maxEntries, pin }[]
Napi::Value BpfLoader::Maps(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (object_ == nullptr) return ThrowErrno(env, EBADF, "maps");
  Napi::Array out = Napi::Array::New(env);
  bpf_map* map;
  bpf_object__for_each_map(map, object_->raw()) {
    Napi::Object entry = Napi::Object::New(env);
    const char* type = libbpf_bpf_map_type_str(bpf_map__type(map));
    const char* pin = bpf_map__is_pinned(map) ? bpf_map__pin_path(map) : nullptr;
    entry.Set("name", bpf_map__name(map));
    entry.Set("type", type != nullptr ? type : "");
    entry.Set("keySize", bpf_map__key_size(map));
    entry.Set("valueSize", bpf_map__value_size(map));
    entry.Set("maxEntries", bpf_map__max_entries(map));
    entry.Set("pin", pin != nullptr ? pin : "");
    out.Set(out.Length(), entry);
  }
  return out;
}

// lookup(map, key) -> Uint8Array, or undefined when there is no entry
Napi::Value BpfLoader::Lookup(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const bpf_map* map = MapArgument(info);
  if (map == nullptr) return env.Undefined();
  const uint8_t* key = BytesArgument(info, 1, bpf_map__key_size(map));
  if (key == nullptr) return ThrowSize(env, map);
  std::vector<uint8_t> value(ValueBytes(map));
  if (bpf_map_lookup_elem(bpf_map__fd(map), key, value.data()) != 0) {
    return errno == ENOENT ? env.Undefined() : ThrowMap(env, map, "lookup");
  }
  return Napi::Buffer<uint8_t>::Copy(env, value.data(), value.size());
}

// update(map, key, value)
Napi::Value BpfLoader::Update(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const bpf_map* map = MapArgument(info);
  if (map == nullptr) return env.Undefined();
  const uint8_t* key = BytesArgument(info, 1, bpf_map__key_size(map));
  const uint8_t* value = BytesArgument(info, 2, ValueBytes(map));
  if (key == nullptr || value == nullptr) return ThrowSize(env, map);
  if (bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY) != 0) {
    return ThrowMap(env, map, "update");
  }
  return env.Undefined();
}

// delete(map, key) -> whether there was an entry
Napi::Value BpfLoader::Delete(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const bpf_map* map = MapArgument(info);
  if (map == nullptr) return env.Undefined();
  const uint8_t* key = BytesArgument(info, 1, bpf_map__key_size(map));
  if (key == nullptr) return ThrowSize(env, map);
  if (bpf_map_delete_elem(bpf_map__fd(map), key) == 0) return Napi::Boolean::New(env, true);
  if (errno != ENOENT && errno != EINVAL) return ThrowMap(env, map, "delete");
  return Napi::Boolean::New(env, false);
}

// keys(map) -> Uint8Array[]; a map that changes meanwhile may show an entry twice or not at all
Napi::Value BpfLoader::Keys(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const bpf_map* map = MapArgument(info);
  if (map == nullptr) return env.Undefined();
  Napi::Array out = Napi::Array::New(env);
  std::vector<uint8_t> key(bpf_map__key_size(map));
  const void* previous = nullptr;
  // A walk restarts when the entry it stands on is deleted: the bound makes it end.
  const uint32_t most = 2 * bpf_map__max_entries(map);
  for (uint32_t i = 0; i < most; i++) {
    if (bpf_map_get_next_key(bpf_map__fd(map), previous, key.data()) != 0) break;
    previous = key.data();
    out.Set(out.Length(), Napi::Buffer<uint8_t>::Copy(env, key.data(), key.size()));
  }
  return out;
}

// counters(map) -> number[]: the slots of a per-CPU array of 64-bit counters, summed
Napi::Value BpfLoader::Counters(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const bpf_map* map = MapArgument(info);
  if (map == nullptr) return env.Undefined();
  if (bpf_map__type(map) != BPF_MAP_TYPE_PERCPU_ARRAY || bpf_map__value_size(map) != 8) {
    return ThrowSize(env, map);
  }
  Napi::Array out = Napi::Array::New(env);
  std::vector<uint64_t> values(Cpus());
  for (uint32_t slot = 0; slot < bpf_map__max_entries(map); slot++) {
    if (bpf_map_lookup_elem(bpf_map__fd(map), &slot, values.data()) != 0) {
      return ThrowMap(env, map, "lookup");
    }
    uint64_t sum = 0;
    for (const uint64_t value : values) sum += value;
    out.Set(slot, Napi::Number::New(env, static_cast<double>(sum)));
  }
  return out;
}

// testRun(program, packet, { mark?, ifindex?, ingressIfindex?, gsoSize?, gsoSegments?, network? })
// -> { result, packet, mark, gsoSize }
Napi::Value BpfLoader::TestRun(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (object_ == nullptr) return ThrowErrno(env, EBADF, "testRun");
  if (info.Length() < 3 || !info[0].IsString() || !info[1].IsTypedArray() || !info[2].IsObject()) {
    return ThrowBpfFailure(env, {BpfFailure::Kind::kArgument,
                                 "testRun(program, packet: Uint8Array, settings)", EINVAL});
  }
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  const bpf_program* program = object_->FindProgram(name);
  const auto bytes = info[1].As<Napi::Uint8Array>();
  const auto settings = info[2].As<Napi::Object>();
  const auto word = [&settings](const char* key) {
    const Napi::Value value = settings.Get(key);
    return value.IsNumber() ? value.As<Napi::Number>().Uint32Value() : 0;
  };
  if (program == nullptr) {
    return ThrowBpfFailure(env, {BpfFailure::Kind::kArgument, "no program \"" + name + "\"", ENOENT});
  }
  BpfTestPacket packet{{bytes.Data(), bytes.ByteLength()},
                       word("mark"),
                       word("ifindex"),
                       word("ingressIfindex"),
                       word("gsoSize"),
                       word("gsoSegments")};
  if (const Napi::Value network = settings.Get("network"); network.IsString()) {
    packet.network = network.As<Napi::String>().Utf8Value();
  }
  BpfTestOutcome outcome;
  if (const int error = RunBpfTest(program, packet, &outcome); error != 0) {
    return ThrowBpfFailure(
        env, {BpfFailure::Kind::kSystem,
              "test run of \"" + name + "\": " + std::generic_category().message(error), error,
              "bpf", name});
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("result", outcome.result);
  out.Set("packet", Napi::Buffer<uint8_t>::Copy(env, outcome.bytes.data(), outcome.bytes.size()));
  out.Set("mark", outcome.mark);
  out.Set("gsoSize", outcome.gso_size);
  return out;
}

void InitBpfLoader(Napi::Env env, Napi::Object exports) {
  CaptureLibbpfMessages();
  BpfLoader::Init(env, exports);
}

}  // namespace symsplice

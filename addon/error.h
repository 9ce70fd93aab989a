// SPDX-License-Identifier: MIT
// How a failed system call reaches JavaScript. Only functions called from JavaScript use this;
// everything below them returns a value or a negative errno and never throws.
#pragma once

#include <napi.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <string>
#include <system_error>

namespace symsplice {

// Symbolic name of an errno ("ECONNREFUSED"), as Node uses for error codes.
inline std::string ErrnoName(int error) {
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : "E" + std::to_string(error);
}

// Leaves a pending exception of Node's own shape: message, code, errno (negative), syscall.
inline Napi::Value ThrowErrno(Napi::Env env, int error, const char* syscall) {
  Napi::Error exception = Napi::Error::New(
      env, ErrnoName(error) + ": " + std::generic_category().message(error) + ", " + syscall);
  exception.Set("code", Napi::String::New(env, ErrnoName(error)));
  exception.Set("errno", Napi::Number::New(env, -error));
  exception.Set("syscall", Napi::String::New(env, syscall));
  exception.ThrowAsJavaScriptException();
  return env.Undefined();
}

// Calls JavaScript from an event of libuv's. What it throws becomes the process' uncaught
// exception, as from any event: left pending, it would make every later call fail in silence.
// In plain Node-API, because node-addon-api aborts the process when it cannot make an Error of
// what it got, which is so in a worker that is being ended. True when JavaScript returned.
inline bool CallFromEvent(Napi::Env env, const Napi::FunctionReference& function,
                          const std::initializer_list<napi_value>& arguments,
                          const Napi::AsyncContext& context) {
  napi_value receiver;
  napi_value result;
  napi_value exception;
  bool thrown = false;
  if (napi_create_object(env, &receiver) != napi_ok) return false;
  if (napi_make_callback(env, context, receiver, function.Value(), arguments.size(),
                         arguments.begin(), &result) == napi_ok) {
    return true;
  }
  if (napi_is_exception_pending(env, &thrown) == napi_ok && thrown &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_fatal_exception(env, exception);
  }
  return false;
}

inline Napi::Value ThrowType(Napi::Env env, const char* message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace symsplice

// Inside attention/: what a form hands to attention.cc. attention.cc checks everything that is the same for all (sizes, settings that the form does not
// have, non-finite values in and out), then calls these with inputs that fit: here, what does not fit is our own mistake (CHECK).
//
// A new form: one file x.cc that defines `x<float>` and `x<double>`, one enumerator, its declaration at the end of this page, one row in attention.cc's
// table. Every property test walks the table.
#pragma once

#include "attention/attention.h"

namespace weir::attention {

struct Sizes {  // of one call, worked out once
  std::size_t queries = 0, keys = 0;         // Tq (rows of out of one head), Tk
  std::size_t heads = 1, kv_heads = 1;
  std::size_t head = 0, value = 0;           // d, dv of one head
};

template <class T>
struct FormFunctions {
  // Names and shapes of the parameters, in their order; null: none.
  std::vector<Parameter<T>> (*parameters)(const Settings&) = nullptr;  // zeros of the right shapes
  // Draws them from the seed; null: Glorot-uniform, biases zero.
  void (*draw)(const Settings&, Parameters<T>&, std::uint64_t seed) = nullptr;
  // What the sizes are, or why they do not fit (expected and found).
  Result<Sizes> (*sizes)(const Settings&, const Input<T>&) = nullptr;
  Output<T> (*forward)(const Settings&, const Parameters<T>&, const Input<T>&, const Sizes&, const Want&, const Executor&) = nullptr;
  Gradients<T> (*backward)(const Settings&, const Parameters<T>&, const Input<T>&, const Sizes&, const Output<T>&, View<const T> d_out, const Executor&) = nullptr;
  // Streams; null when the form has none. start has set settings, parameters and query.
  Status (*start)(Stream<T>&, std::size_t key_columns, std::size_t value_columns) = nullptr;
  void (*push)(Stream<T>&, std::span<const T> k, std::span<const T> v, T dt, T importance) = nullptr;
  std::vector<T> (*ask)(const Stream<T>&, std::span<const T> q) = nullptr;
};

template <class T>
const FormFunctions<T>& functions(Form form);  // attention.cc

template <class T>
extern const FormFunctions<T> dot_pooling;
template <class T>
extern const FormFunctions<T> additive;
template <class T>
extern const FormFunctions<T> multi_head_pooling;
template <class T>
extern const FormFunctions<T> candidate_pooling;
template <class T>
extern const FormFunctions<T> fastformer;
template <class T>
extern const FormFunctions<T> linear;
template <class T>
extern const FormFunctions<T> performer;
template <class T>
extern const FormFunctions<T> time_decayed;

}  // namespace weir::attention

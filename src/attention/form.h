// Inside attention/: what a form hands to attention.cc. check.cc checks everything that is the same for all (sizes, settings that the form does not
// have, non-finite values in and out), then attention.cc calls these with inputs that fit: here, what does not fit is our own mistake (CHECK).
//
// A new form: one enumerator, one file x.cc that defines x<float>() and x<double>(), its declaration below, one row in forms.cc's table. Every
// property test walks the table.
#pragma once

#include "attention/attention.h"

namespace weir::attention {

struct Sizes {                        // of one call, worked out once
  std::size_t queries = 0, keys = 0;  // Tq (rows of weights of one head; 1 in the pooling forms), Tk
  std::size_t heads = 1, kv_heads = 1;
  std::size_t head = 0, value = 0;            // d, dv of one head
  std::size_t out_rows = 0, out_columns = 0;  // of Output::out
};

struct Shape {  // of a parameter
  std::string_view name;
  std::size_t rows = 0, columns = 0;
  bool bias = false;  // starts at zero
};

// What one head mixes, for explain(): its values [Tk × n] (what the mask hides may hold anything), the direction [n] and what is added to every outcome.
template <class T>
struct Mixed {
  View<const T> values;
  std::vector<T> direction;
  T constant = 0;
  Array<T> made;  // what `values` looks at, where it is not the caller's
};

template <class T>
struct FormFunctions {
  // Names and shapes of the parameters, in their order; null: none. Settings' sizes are ≤ 2²⁰ here.
  std::vector<Shape> (*parameters)(const Settings&) = nullptr;
  // Draws zeros of those shapes from the seed; null: Glorot-uniform, biases zero.
  void (*draw)(const Settings&, Parameters<T>&, std::uint64_t seed) = nullptr;
  // What the sizes are, or why they do not fit (expected and found). Views are whole (stride, data) and heads, kv_heads ≥ 1 divide each other here.
  Result<Sizes> (*sizes)(const Settings&, const Input<T>&) = nullptr;
  Output<T> (*forward)(const Settings&, const Parameters<T>&, const Input<T>&, const Sizes&, const Want&, const Executor&) = nullptr;
  Gradients<T> (*backward)(const Settings&, const Parameters<T>&, const Input<T>&, const Sizes&, const Output<T>&, View<const T> d_out,
                           const Executor&) = nullptr;
  // explain(); null: a head mixes its columns of v (of k where v is empty), and no constant.
  Mixed<T> (*mixed)(const Settings&, const Parameters<T>&, const Input<T>&, const Sizes&, std::size_t head, std::span<const T> direction) = nullptr;
  // Streams; null when the form has none. start_stream has set and checked everything but state, keys and values; push and ask get rows that fit and are
  // finite. push does not count `seen`: it is the position of the key that comes.
  Status (*start)(Stream<T>&) = nullptr;
  void (*push)(Stream<T>&, std::span<const T> k, std::span<const T> v, T dt, T importance) = nullptr;
  std::vector<T> (*ask)(const Stream<T>&, std::span<const T> q) = nullptr;
};

template <class T>
FormFunctions<T> dot_product();
template <class T>
FormFunctions<T> multi_head();
template <class T>
FormFunctions<T> dot_pooling();
template <class T>
FormFunctions<T> additive();
template <class T>
FormFunctions<T> multi_head_pooling();
template <class T>
FormFunctions<T> candidate_pooling();
template <class T>
FormFunctions<T> fastformer();
template <class T>
FormFunctions<T> linear();
template <class T>
FormFunctions<T> performer();
template <class T>
FormFunctions<T> time_decayed();

template <class T>
FormFunctions<T> functions(Form form);  // CHECK: the form has a row
const FormRow* row_of(Form form);       // null: there is no such form

inline std::size_t kv_heads(const Settings& settings) { return settings.kv_heads == 0 ? settings.heads : settings.kv_heads; }

template <class T>
Parameters<T> zeros_like(const Parameters<T>& parameters) {
  Parameters<T> zeros;
  for (const Parameter<T>& p : parameters) zeros.push_back({p.name, Array<T>(p.value.rows, p.value.columns)});
  return zeros;
}

// "expected v of 7 rows (as k), found 5"
Status expect(std::string_view what, std::size_t expected, std::size_t found);

}  // namespace weir::attention

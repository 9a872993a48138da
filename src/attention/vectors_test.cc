// Every form against vectors/vectors.json, which vectors/make.py computed in float64 by formulas of its own and torch judged: outputs, weights and all
// gradients. double ≤ 1e-9 relative to the tensor's largest entry (what 11 stored digits allow), float ≤ 1e-5 in outputs and ≤ 1e-3 in gradients.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "attention/attention.h"
#include "base/file.h"
#include "base/json.h"

namespace weir::attention {
namespace {

// make.py's drawn(): splitmix64 from the FNV-1a hash of the name, ten bits: a multiple of 1/256 in [-2, 2).
double drawn(std::string_view name, std::uint64_t i) {
  std::uint64_t z = 0xcbf29ce484222325;
  for (const char c : name) z = (z ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  z += (i + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return (static_cast<double>((z ^ z >> 31) >> 54) - 512) / 256;
}

template <class T>
Array<T> tensor(std::string_view name, std::size_t rows, std::size_t columns, double gain = 1) {
  Array<T> out(rows, columns);
  for (std::size_t i = 0; i < out.values.size(); ++i) out.values[i] = static_cast<T>(gain * drawn(name, i));
  return out;
}

std::size_t whole(const json::object& object, std::string_view key, std::size_t otherwise) {
  return static_cast<std::size_t>(find_int(object, key).value_or(static_cast<std::int64_t>(otherwise)));
}

Settings settings_of(const json::object& object) {
  Settings settings;
  for (const FormRow& row : forms())
    if (row.name == *find_string(object, "form")) settings.form = row.form;
  EXPECT_EQ(to_string(settings.form), *find_string(object, "form"));
  for (const Normaliser n : {Normaliser::sparsemax, Normaliser::entmax15, Normaliser::top_k, Normaliser::sigmoid})
    if (to_string(n) == find_string(object, "normaliser")) settings.normaliser = n;
  if (find_string(object, "position") == "alibi") settings.position = Position::alibi;
  if (find_string(object, "position") == "rope") settings.position = Position::rope;
  settings.heads = whole(object, "heads", settings.heads);
  settings.kv_heads = whole(object, "kv_heads", settings.kv_heads);
  settings.model = whole(object, "model", settings.model);
  settings.query = whole(object, "query", settings.query);
  settings.hidden = whole(object, "hidden", settings.hidden);
  settings.features = whole(object, "features", settings.features);
  settings.top_k = whole(object, "top_k", settings.top_k);
  settings.scale = find_number(object, "scale").value_or(settings.scale);
  settings.temperature = find_number(object, "temperature").value_or(settings.temperature);
  settings.decay = find_number(object, "decay").value_or(settings.decay);
  settings.tau = find_number(object, "tau").value_or(settings.tau);
  settings.effective_keys = find_number(object, "effective_keys").value_or(settings.effective_keys);
  return settings;
}

std::vector<std::uint8_t> bytes_of(const json::array* array) {
  std::vector<std::uint8_t> out;
  if (array != nullptr)
    for (const json::value& value : *array) out.push_back(static_cast<std::uint8_t>(value.to_number<int>()));
  return out;
}

double largest_of(const json::array& values, double largest = 0) {
  for (const json::value& value : values) largest = std::max(largest, std::abs(value.to_number<double>()));
  return largest;
}

// |found − expected| ≤ tolerance · the largest expected + 1e-12, the last stored digit (or `least`, where all are near zero); a digest is compared as its sums.
template <class T>
void expect_near(std::string_view what, std::span<const T> found, const json::array& expected, bool digest, double tolerance, double least = 1e-3) {
  std::vector<double> values(found.begin(), found.end());
  if (digest) {
    values.assign(16, 0);
    for (std::size_t k = 0; k < 16; ++k)
      for (std::size_t i = 0; i < found.size(); ++i) values[k] += static_cast<double>(found[i]) * drawn("digest/" + std::to_string(k), i);
    tolerance *= std::sqrt(static_cast<double>(found.size()) / 16);  // rounding of so many, summed with random signs
  }
  ASSERT_EQ(values.size(), expected.size()) << what;
  const double largest = largest_of(expected, least);
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_NEAR(values[i], expected[i].to_number<double>(), tolerance * largest + 1e-12) << what << "[" << i << "]";
}

template <class T>
void hold(const json::object& c) {
  const bool exact = sizeof(T) == 8, digest = find_bool(c, "digest").value_or(false);
  const std::string name(*find_string(c, "name"));
  const double gain = find_number(c, "gain").value_or(1);
  SCOPED_TRACE(name + (exact ? ", double" : ", float"));
  const json::object &sizes = *find_object(c, "inputs"), &expect = *find_object(c, "expect");
  const Settings settings = settings_of(*find_object(c, "settings"));

  const auto drawn_as = [&](std::string_view key, double times) {
    const json::array* size = find_array(sizes, key);
    return size == nullptr ? Array<T>{}
                           : tensor<T>(name + "/" + std::string(key), (*size)[0].to_number<std::size_t>(), (*size)[1].to_number<std::size_t>(), times);
  };
  const bool has_query = find_array(sizes, "q") != nullptr;
  const Array<T> q = drawn_as("q", gain), k = drawn_as("k", has_query ? 1 : gain), v = drawn_as("v", 1), bias = drawn_as("bias", 1);
  Array<T> age = drawn_as("age", 1), importance = drawn_as("importance", 1);
  for (Array<T>* positive : {&age, &importance})
    for (T& x : positive->values) x = std::abs(x) + T(1) / 256;
  Input<T> input{.q = q, .k = k, .v = v, .bias = bias, .age = age.values, .importance = importance.values};
  const json::object none, *mask = find_object(c, "mask");
  if (mask == nullptr) mask = &none;
  const auto keys = bytes_of(find_array(*mask, "keys")), pairs = bytes_of(find_array(*mask, "pairs"));
  input.mask = {.causal = find_bool(*mask, "causal").value_or(false),
                .window = whole(*mask, "window", 0),
                .globals = whole(*mask, "globals", 0),
                .block = whole(*mask, "block", 0),
                .keys = keys};
  if (!pairs.empty()) input.mask.pairs = {pairs.data(), q.rows, k.rows};

  auto parameters = initialise<T>(settings, 1);
  ASSERT_TRUE(parameters) << parameters.error().text();
  const json::object* wanted = find_object(c, "parameters");
  ASSERT_EQ(parameters->size(), wanted == nullptr ? 0 : wanted->size());
  for (Parameter<T>& parameter : *parameters) {
    const json::array* size = find_array(*wanted, parameter.name);
    ASSERT_NE(size, nullptr) << parameter.name;
    ASSERT_EQ((*size)[0].to_number<std::size_t>(), parameter.value.rows) << parameter.name;
    ASSERT_EQ((*size)[1].to_number<std::size_t>(), parameter.value.columns) << parameter.name;
    parameter.value = tensor<T>(name + "/" + parameter.name, parameter.value.rows, parameter.value.columns);
  }

  const auto output = forward<T>(settings, *parameters, input, {.weights = true});
  ASSERT_TRUE(output) << output.error().text();
  const double steep = std::max(1.0, gain / 5);  // float's rounding of a logit grows with the logit
  const double near = exact ? 1e-9 : 1e-5 * steep, nearly = exact ? 1e-9 : 1e-3 * steep;
  expect_near<T>("out", output->out.values, *find_array(expect, "out"), digest, near);
  if (const auto* weights = find_array(expect, "weights")) expect_near<T>("weights", output->weights.values, *weights, false, near);
  if (const auto* chosen = find_array(expect, "temperature")) expect_near<T>("temperature", output->temperature, *chosen, false, exact ? 1e-6 : 1e-3);
  const auto plain = forward<T>(settings, *parameters, input);
  ASSERT_TRUE(plain) << plain.error().text();
  expect_near<T>("out without weights", plain->out.values, *find_array(expect, "out"), digest, near);

  const Array<T> d_out = tensor<T>(name + "/d_out", output->out.rows, output->out.columns);
  double greatest = 0;  // of all gradients: wk.bias, which softmax does not see, is nothing but the rounding of what the others sum
  for (const auto& member : expect)
    if (std::string_view(member.key()).starts_with("d_")) greatest = largest_of(member.value().as_array(), greatest);
  for (const Output<T>* given : {&*output, &*plain}) {
    const auto gradients = backward<T>(settings, *parameters, input, *given, d_out);
    ASSERT_TRUE(gradients) << gradients.error().text();
    std::size_t held = 0;
    const auto holds = [&](const std::string& key, std::span<const T> found) {
      const json::array* expected = find_array(expect, "d_" + key);
      if (expected == nullptr) return;
      expect_near<T>("d_" + key, found, *expected, digest, nearly, 1e-3 * greatest);
      ++held;
    };
    holds("q", gradients->q.values);
    holds("k", gradients->k.values);
    holds("v", gradients->v.values);
    holds("bias", gradients->bias.values);
    holds("age", gradients->age);
    holds("importance", gradients->importance);
    holds("tau", {&gradients->tau, 1});
    holds("temperature", {&gradients->temperature, 1});
    ASSERT_EQ(gradients->parameters.size(), parameters->size());
    for (const Parameter<T>& parameter : gradients->parameters) holds(parameter.name, parameter.value.values);
    std::size_t all = 0;
    for (const auto& member : expect) all += std::string_view(member.key()).starts_with("d_");
    EXPECT_EQ(held, all);
  }
}

TEST(Vectors, EveryFormIsWhatTorchAndTheFormulasSay) {
  const auto text = read_file(WEIR_SOURCE_DIR "/src/attention/vectors/vectors.json");
  ASSERT_TRUE(text) << text.error().text();
  EXPECT_LE(text->size(), 200'000u);
  const auto file = parse_json(*text);
  ASSERT_TRUE(file) << file.error().text();
  std::vector<std::string> seen;
  for (const json::value& value : *find_array(file->as_object(), "cases")) {
    const json::object& c = value.as_object();
    hold<double>(c);
    hold<float>(c);
    seen.emplace_back(*find_string(*find_object(c, "settings"), "form"));
  }
  for (const FormRow& row : forms()) EXPECT_NE(std::find(seen.begin(), seen.end(), row.name), seen.end()) << row.name << " has no vector";
}

}  // namespace
}  // namespace weir::attention

// Model files that lie, are cut short or mutated; texts that are bombs. Nothing crashes, nothing that is not finite comes out, and errors name the place.
#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <thread>

#include "base/file.h"
#include "encode/encoder.h"
#include "encode/models.h"
#include "encode/tiny_models.h"
#include "encode/tokenizer.h"
#include "encode/weights.h"
#include "math/cpu.h"
#include "math/kernels.h"

namespace weir {
namespace {

double cpu_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    folder = std::filesystem::temp_directory_path() / ("weir_encode_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder / "st");
    std::filesystem::create_directories(folder / "e5");
    put("st/config.json", tiny::config_json());
    put("st/tokenizer.json", tiny::tokenizer_json());
    put("st/model.safetensors", tiny::safetensors());
    put("e5/model.bin", tiny::e5());
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  void put(const std::string& name, std::string_view bytes) { ASSERT_TRUE(write_file(folder / name, bytes)); }

  // A model that loads gives finite vectors; one that does not says why.
  static void loads_or_says_why(const std::filesystem::path& model, std::size_t& loaded) {
    const auto encoder = Encoder::load(model);
    if (!encoder) {
      EXPECT_FALSE(encoder.error().message.empty());
      return;
    }
    ++loaded;
    const std::string_view texts[] = {"the streams of news, a. 注意力 unknown", "the"};
    for (const float v : encoder->encode(texts).values) ASSERT_TRUE(std::isfinite(v));
  }

  void mutate(const std::string& name, const std::filesystem::path& model) {
    const auto original = read_file(folder / name);
    ASSERT_TRUE(original);
    std::mt19937 random(42);
    std::size_t loaded = 0;
    for (int i = 0; i < 500; ++i) {
      std::string bytes = *original;
      // The head of a file is where it can lie: half of the changes go there.
      const std::size_t head = i % 2 == 0 ? bytes.size() : std::min<std::size_t>(bytes.size(), 4096);
      switch (i % 5) {
        case 0: bytes.resize(random() % bytes.size()); break;
        case 1:
          for (int j = 0; j < 3; ++j) bytes[random() % head] = static_cast<char>(random());
          break;
        case 2: bytes.replace(random() % head, 4, std::string(4, '\xFF')); break;
        case 3: bytes[random() % head] ^= static_cast<char>(1U << random() % 8); break;
        default: bytes.insert(random() % head, bytes.substr(random() % head, random() % 64)); break;
      }
      put(name, bytes);
      ASSERT_NO_FATAL_FAILURE(loads_or_says_why(folder / model, loaded)) << "mutation " << i;
    }
    put(name, *original);
    std::printf("%s: %zu of 500 mutations load\n", name.c_str(), loaded);
    EXPECT_LT(loaded, 450U);
  }
  std::filesystem::path folder;
};

TEST_F(Folder, TinyModelsLoad) {
  std::size_t loaded = 0;
  loads_or_says_why(folder / "st", loaded);
  loads_or_says_why(folder / "e5", loaded);
  EXPECT_EQ(loaded, 2U);
  const auto encoder = Encoder::load(folder / "st");
  ASSERT_TRUE(encoder);
  EXPECT_EQ(encoder->tokenize("The streams, OF Néws xyz"), (std::vector<std::uint32_t>{2, 4, 5, 6, 1, 7, 8, 1, 3}));
}

TEST_F(Folder, MutatedSafetensors) { mutate("st/model.safetensors", "st"); }
TEST_F(Folder, MutatedTokenizer) { mutate("st/tokenizer.json", "st"); }
TEST_F(Folder, MutatedConfig) { mutate("st/config.json", "st"); }
TEST_F(Folder, MutatedVocabulary) {
  std::filesystem::remove(folder / "st/tokenizer.json");
  put("st/vocab.txt", tiny::vocabulary);
  mutate("st/vocab.txt", "st");
}
TEST_F(Folder, MutatedE5) { mutate("e5/model.bin", "e5"); }

// One way to be wrong: what is put in place of a right file, and what the error says of it.
struct Wrong {
  const char* file;
  std::string bytes;
  Code code;
  std::string says;  // file, what was expected, what was found
};

std::string with(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  CHECK(at != std::string::npos);
  return text.replace(at, from.size(), to);
}
// The same number of bytes: nothing moves.
std::string over(std::string text, std::string_view from, std::string to) {
  to.resize(from.size(), ' ');
  return with(std::move(text), from, to);
}
template <class T>
std::string at(std::string bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  return bytes;
}
std::string safetensors_of(std::string_view header, std::size_t data) {
  const std::uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + std::string(header) + std::string(data, '\0');
}

TEST_F(Folder, WhatIsWrongSaysWhatWasExpectedAndFound) {
  const std::string config = tiny::config_json(), tokenizer = tiny::tokenizer_json(), weights = tiny::safetensors(), e5 = tiny::e5();
  const std::size_t data = 8 + *reinterpret_cast<const std::uint64_t*>(weights.data());
  const std::string word = "embeddings.word_embeddings.weight", position = "embeddings.position_embeddings.weight";
  const std::string entry = R"("dtype":"F32","shape":[16,64],"data_offsets":[0,4096])";
  const std::string names = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":)";
  const float nan = std::nanf(""), infinite = HUGE_VALF;
  const std::size_t list = e5.find("emb.word") - 2;
  const std::vector<Wrong> all{
      // Another architecture, other shapes.
      {"st/config.json", with(config, "\"bert\"", "\"gpt2\""), Code::refused,
       "config.json: the architecture (model_type): expected bert or distilbert, found gpt2"},
      {"st/config.json", with(config, "\"bert\"", "7"), Code::corrupt, "config.json: model_type: expected a string, found 7"},
      {"st/config.json", "{}", Code::refused, "expected bert or distilbert, found nothing"},
      {"st/config.json", "[1]", Code::corrupt, "config.json: expected a JSON object, found [1]"},
      {"st/config.json", "", Code::malformed, "config.json: byte 0: not JSON"},
      {"st/config.json", config.substr(0, 60), Code::malformed, "config.json: byte 60: not JSON"},
      {"st/config.json", with(config, "bert", "b\xFF"), Code::malformed, "config.json: byte "},
      {"st/config.json", with(config, "\"gelu\"", "\"relu\""), Code::refused, "the activation: expected gelu, found relu"},
      {"st/config.json", with(config, "{", R"({"position_embedding_type":"relative_key",)"), Code::refused, "expected absolute, found relative_key"},
      {"st/config.json", with(config, "\"hidden_size\":64", "\"hidden_size\":128"), Code::corrupt, word + ": expected [16 × 128] of weights, found [16 × 64]"},
      {"st/config.json", with(config, "\"hidden_size\":64", "\"hidden_size\":0"), Code::refused,
       "config.json: the hidden size: expected a multiple of 64, found 0"},
      {"st/config.json", with(config, "\"hidden_size\":64", "\"hidden_size\":-64"), Code::corrupt, "hidden_size: expected an integer of 0 to 8192, found -64"},
      {"st/config.json", with(config, "\"hidden_size\":64", "\"hidden_size\":1e300"), Code::corrupt,
       "hidden_size: expected an integer of 0 to 8192, found 1E300"},
      {"st/config.json", with(config, "\"hidden_size\":64,", ""), Code::corrupt, "dim: expected an integer of 0 to 8192, found nothing"},
      {"st/config.json", with(config, "\"num_attention_heads\":2", "\"num_attention_heads\":3"), Code::refused,
       "expected heads of a multiple of 32, found 3 heads in 64"},
      {"st/config.json", with(config, "\"num_attention_heads\":2", "\"num_attention_heads\":0"), Code::refused, "found 0 heads in 64"},
      {"st/config.json", with(config, "_size\":128", "_size\":100"), Code::refused, "the inner size: expected a multiple of 64, found 100"},
      {"st/config.json", with(config, "_size\":128", "_size\":192"), Code::corrupt,
       "intermediate.dense.weight: expected [192 × 64] of weights, found [128 × 64]"},
      {"st/config.json", with(config, "layers\":1", "layers\":0"), Code::refused, "expected at least one layer, found 0"},
      {"st/config.json", with(config, "layers\":1", "layers\":2"), Code::corrupt,
       "encoder.layer.1.attention.self.query.weight: expected [64 × 64] of weights, found no such tensor"},
      {"st/config.json", with(config, "vocab_size\":16", "vocab_size\":0"), Code::refused, "expected a vocabulary, found one of 0 pieces"},
      {"st/config.json", with(config, "vocab_size\":16", "vocab_size\":15"), Code::corrupt,
       "expected at most 15 pieces, as many as the model's embeddings, found 16"},
      {"st/config.json", with(config, "embeddings\":32", "embeddings\":2"), Code::refused, "expected at least 3 positions, found 2"},
      {"st/config.json", with(config, "1e-12", "-1"), Code::refused, "epsilon: expected 0 to 1, found -1"},
      {"st/config.json", with(config, "1e-12", "\"small\""), Code::corrupt, "layer_norm_eps: expected a number, found \"small\""},
      {"st/1_Pooling/config.json", R"({"pooling_mode_mean_tokens":false,"pooling_mode_max_tokens":true})", Code::refused,
       "1_Pooling/config.json: expected pooling_mode_mean_tokens or pooling_mode_cls_token, found neither"},
      {"st/1_Pooling/config.json", R"({"pooling_mode_cls_token":"yes"})", Code::corrupt, "pooling_mode_cls_token: expected true or false, found \"yes\""},
      {"st/sentence_bert_config.json", R"({"max_seq_length":2})", Code::corrupt, "max_seq_length: expected 3 or more, found 2"},
      {"st/sentence_bert_config.json", R"({"max_seq_length":"256"})", Code::corrupt, "max_seq_length: expected an integer of 0 to 1048576, found \"256\""},
      // Tokenizers.
      {"st/tokenizer.json", with(tokenizer, "\"WordPiece\"", "\"BPE\""), Code::refused, "tokenizer.json: the tokenizer: expected WordPiece, found BPE"},
      {"st/tokenizer.json", with(tokenizer, "BertNormalizer", "NFC"), Code::refused, "the normaliser: expected BertNormalizer, found NFC"},
      {"st/tokenizer.json", with(tokenizer, "\"strip_accents\":null", "\"strip_accents\":false"), Code::refused,
       "expected strip_accents to be as lowercase is, true, found false"},
      {"st/tokenizer.json", with(tokenizer, "[CLS]\":2", "[CLX]\":2"), Code::corrupt, "expected the piece \"[CLS]\" in the vocabulary, found 16 others"},
      {"st/tokenizer.json", with(tokenizer, "\"of\":7", "\"of\":77"), Code::corrupt, "expected the ids 0 to 15, each once, found 77 for \"of\""},
      {"st/tokenizer.json", with(tokenizer, "\"of\":7", "\"of\":8"), Code::corrupt, "expected the ids 0 to 15, each once, found 8"},
      {"st/tokenizer.json", with(tokenizer, "\"of\":7", "\"o\xFF\":7"), Code::malformed, "tokenizer.json: byte "},
      {"st/tokenizer.json", "{}", Code::corrupt, "expected the member model, found none"},
      {"st/tokenizer.json", R"({"model":{}})", Code::corrupt, "expected the member model.vocab, found none"},
      // Weights: empty, cut short, another kind of file, headers that lie.
      {"st/model.safetensors", "", Code::corrupt, "model.safetensors: expected a safetensors file, found one of 0 bytes"},
      {"st/model.safetensors", weights.substr(0, 7), Code::corrupt, "found one of 7 bytes"},
      {"st/model.safetensors", weights.substr(0, 100), Code::corrupt, "expected a safetensors header of at most 92 bytes, found "},
      {"st/model.safetensors", "\x08\x07\x12\x07pytorch:\x0c" + std::string(500, '\x0A'), Code::corrupt,
       "expected a safetensors header of at most "},                                                        // ONNX begins so
      {"st/model.safetensors", "PK\x03\x04" + std::string(500, '\0'), Code::corrupt, "model.safetensors"},  // and PyTorch so
      {"st/model.safetensors", weights.substr(0, weights.size() - 1), Code::corrupt, "its data: expected to end at "},
      {"st/model.safetensors", weights + "x", Code::corrupt, "expected the file's data to end with the last tensor's at byte "},
      {"st/model.safetensors", at(weights, 0, ~std::uint64_t{0}), Code::corrupt, "expected a safetensors header of at most "},
      {"st/model.safetensors", safetensors_of("[]", 0), Code::corrupt, "the header: expected a JSON object, found []"},
      {"st/model.safetensors", safetensors_of("{\"a\":1}", 0), Code::corrupt, "model.safetensors: a: expected an object, found 1"},
      {"st/model.safetensors", safetensors_of("{\"a\":{}}", 0), Code::corrupt, "a: expected dtype, shape and two data_offsets, found {}"},
      {"st/model.safetensors", safetensors_of(names + R"({"dtype":"F32","shape":[1],"data_offsets":[2,6]}})", 6), Code::corrupt,
       "expected a tensor's data to begin at byte 4, found 2: they overlap or leave a gap"},
      {"st/model.safetensors", safetensors_of(names + R"({"dtype":"F32","shape":[1],"data_offsets":[8,12]}})", 12), Code::corrupt,
       "expected a tensor's data to begin at byte 4, found 8"},
      {"st/model.safetensors", safetensors_of(names + R"({"dtype":"F32","shape":[1],"data_offsets":[8,4]}})", 8), Code::corrupt,
       "b: its data: expected to end at 8 or before, found 8 to 4"},
      {"st/model.safetensors", safetensors_of(names + R"({"dtype":"F32","shape":[-1],"data_offsets":[4,8]}})", 8), Code::corrupt,
       "b: shape: expected sizes, found -1"},
      {"st/model.safetensors", safetensors_of(names + R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[4,8]}})", 8), Code::corrupt,
       "b: its shape: expected at most the file's 8 bytes, found more than 2⁶⁴"},
      {"st/model.safetensors", safetensors_of(names + R"({"dtype":"F32","shape":[9223372036854775807],"data_offsets":[4,8]}})", 8), Code::corrupt,
       "its shape: expected at most the file's 8 bytes"},
      {"st/model.safetensors", safetensors_of(names + R"({"dtype":"Q4_K","shape":[1],"data_offsets":[4,8]}})", 8), Code::corrupt,
       "b: dtype: expected F32, F16 or BF16, found Q4_K"},
      {"st/model.safetensors", over(weights, entry, R"("dtype":"I64","shape":[8,64],"data_offsets":[0,4096])"), Code::corrupt,
       word + ": expected [16 × 64] of weights, found I64"},
      {"st/model.safetensors", over(weights, entry, R"("dtype":"BF16","shape":[16,64],"data_offsets":[0,4096])"), Code::malformed, "model.safetensors: byte "},
      {"st/model.safetensors", with(at(weights, 0, std::uint64_t{data - 7}), entry, R"("dtype":"F16","shape":[16,64] ,"data_offsets":[0,4096])"), Code::corrupt,
       word + ": its data: expected 2048 bytes by its shape, found 4096"},
      {"st/model.safetensors", over(weights, "\"" + word + "\"", "\"embeddings.word\""), Code::corrupt,
       word + ": expected [16 × 64] of weights, found no such tensor"},
      {"st/model.safetensors", at(weights, data + 16 * 64 * 4 + 4, nan), Code::corrupt, position + ": expected weights of at most 1e+06, found nan"},
      {"st/model.safetensors", at(weights, weights.size() - 64 * 4 * 4 - 64 * 128 * 4, infinite), Code::corrupt,
       "encoder.layer.0.output.dense.weight: expected weights of at most 1e+06, found inf"},
      {"st/model.safetensors", at(weights, weights.size() - 4, 3e38F), Code::corrupt,
       "encoder.layer.0.output.LayerNorm.bias: expected weights of at most 1e+06, found 3e+38"},
      // The one-file form.
      {"e5/model.bin", "", Code::corrupt, "model.bin: expected an E5S1 file, found one of 0 bytes"},
      {"e5/model.bin", with(e5, "E5S1", "GGUF"), Code::corrupt, "expected the first bytes to be E5S1, found 47475546"},
      {"e5/model.bin", at(e5, 4, 2), Code::refused, "expected E5S1 version 1, found 2"},
      {"e5/model.bin", at(e5, 8, -64), Code::corrupt, "hidden: expected 0 to 8192, found -64"},
      {"e5/model.bin", at(e5, 8, 65), Code::corrupt, "emb.word: expected rows of 65, found 1024 values"},
      {"e5/model.bin", at(e5, 16, 3), Code::refused, "model.bin: expected heads of a multiple of 32, found 3 heads in 64"},
      {"e5/model.bin", at(e5, 36, nan), Code::refused, "epsilon: expected 0 to 1, found nan"},
      {"e5/model.bin", at(e5, 40, 64), Code::refused, "expected blocks of 32 weights, found 64"},
      {"e5/model.bin", at(e5, 44, 2'000'001), Code::corrupt, "the number of pieces: expected 0 to 2000000, found 2000001"},
      {"e5/model.bin", at(e5, 44, 1'999'999), Code::corrupt, "expected 1999999 pieces in 45 bytes, found the end of the file"},
      {"e5/model.bin", at(e5, 48, 16), Code::corrupt, "a control id: expected less than 16, the number of pieces, found 16"},
      {"e5/model.bin", with(e5, "\xE2\x96\x81query", "\xE2\xFFxquery"), Code::corrupt, "piece 4: expected UTF-8, found the bytes e2ff78"},
      {"e5/model.bin", at(e5, list + 2 + 8, std::uint8_t{7}), Code::corrupt, "emb.word: dtype: expected 0 (f32) or 1 (q4), found 7"},
      {"e5/model.bin", at(e5, list + 2 + 9, 1023), Code::corrupt, "emb.word: expected rows of 64, found 1023 values"},
      {"e5/model.bin", at(e5, list + 2 + 9, 2048), Code::corrupt, "emb.word: expected 1152 bytes, found 576"},
      {"e5/model.bin", at(e5, list + 2 + 13, ~std::uint64_t{0}), Code::corrupt,
       "emb.word: its data: expected to end at " + std::to_string(e5.size()) + " or before"},
      {"e5/model.bin", e5.substr(0, list + 5), Code::corrupt, "tensors, found the end of the file after 0"},
      {"e5/model.bin", e5.substr(0, e5.size() - 1), Code::corrupt, "its data: expected to end at "},
      {"e5/model.bin", with(e5, "emb.pos", "emb.pox"), Code::corrupt, "emb.pos: expected [64 × 64] of weights, found no such tensor"},
      {"e5/model.bin", at(e5, e5.size() - 4, infinite), Code::corrupt, "model.bin: l0.oln.b: expected weights of at most 1e+06, found inf"},
  };
  std::filesystem::create_directories(folder / "st/1_Pooling");
  for (const Wrong& wrong : all) {
    const auto before = read_file(folder / wrong.file);
    put(wrong.file, wrong.bytes);
    const auto encoder = Encoder::load(folder / std::string(wrong.file).substr(0, 2));
    EXPECT_FALSE(encoder) << wrong.says;
    if (!encoder) {
      EXPECT_EQ(encoder.error().code, wrong.code) << encoder.error().text();
      EXPECT_NE(encoder.error().text().find(wrong.says), std::string::npos) << encoder.error().text() << "\n  wanted: " << wrong.says;
      EXPECT_TRUE(encoder.error().text().starts_with(folder.string())) << encoder.error().text();
    }
    if (before) put(wrong.file, *before);
    else std::filesystem::remove(folder / wrong.file);
  }
  EXPECT_TRUE(Encoder::load(folder / "st"));
  EXPECT_TRUE(Encoder::load(folder / "e5"));
}

TEST_F(Folder, WhatIsMissingIsNamed) {
  const auto error = [&](const char* model) {
    const auto encoder = Encoder::load(folder / model);
    return encoder ? Error{} : encoder.error();
  };
  std::filesystem::rename(folder / "st/model.safetensors", folder / "st/model.onnx");
  EXPECT_EQ(error("st").code, Code::refused);
  EXPECT_NE(error("st").text().find("expected model.safetensors, found model.onnx"), std::string::npos) << error("st").text();
  std::filesystem::remove(folder / "st/model.onnx");
  EXPECT_EQ(error("st").code, Code::not_found);
  EXPECT_NE(error("st").text().find("model.safetensors"), std::string::npos) << error("st").text();
  put("st/model.safetensors", tiny::safetensors());
  std::filesystem::remove(folder / "st/tokenizer.json");
  EXPECT_EQ(error("st").code, Code::not_found);
  EXPECT_NE(error("st").text().find("vocab.txt"), std::string::npos) << error("st").text();
  put("st/vocab.txt", tiny::vocabulary);
  EXPECT_TRUE(Encoder::load(folder / "st"));
  put("st/vocab.txt", std::string(tiny::vocabulary) + "b\xFF\n");
  EXPECT_NE(error("st").text().find("vocab.txt: piece 16: expected UTF-8, found the bytes 62ff"), std::string::npos) << error("st").text();
  put("st/vocab.txt", "");
  EXPECT_NE(error("st").text().find("expected the piece \"[UNK]\" in the vocabulary, found 0 others"), std::string::npos) << error("st").text();
  std::filesystem::remove(folder / "e5/model.bin");
  EXPECT_EQ(error("e5").code, Code::not_found);
  EXPECT_EQ(error("nothing/here").code, Code::not_found);
}

// A model whose layers end before the config says so is complete to the eye: the rest of the file tells.
TEST_F(Folder, LayersThatWouldNotBeRun) {
  const std::string two = with(with(tiny::e5(), "l0.q.w", "l1.q.w"), "l0.k.w", "l0.q.w");
  put("e5/model.bin", two);
  const auto encoder = Encoder::load(folder / "e5");
  ASSERT_FALSE(encoder);
  EXPECT_NE(encoder.error().text().find("l1.q.w: expected 1 layers, found one more"), std::string::npos) << encoder.error().text();
}

// A file that shrinks under a loaded model: its words are gone, and so are the vectors; never wrong ones.
TEST_F(Folder, AFileThatShrinksLeavesNoVector) {
  for (const auto& [file, model] : {std::pair("st/model.safetensors", "st"), std::pair("e5/model.bin", "e5")}) {
    const auto encoder = Encoder::load(folder / model, {.precision = {}, .cache = 0});
    ASSERT_TRUE(encoder) << encoder.error().text();
    const std::string_view texts[] = {"the stream"};
    EXPECT_TRUE(Encoder::has_vector(encoder->encode(texts).row(0)));
    std::filesystem::resize_file(folder / file, 100);
    EXPECT_FALSE(Encoder::has_vector(encoder->encode(texts).row(0))) << model;
  }
}

// In every precision, by mean and by first token: the text that has the word has no vector, the others have theirs.
TEST_F(Folder, AWordEmbeddingThatIsNotFiniteLeavesNoVector) {
  const std::string whole = tiny::safetensors();
  const std::size_t header = 8 + *reinterpret_cast<const std::uint64_t*>(whole.data());
  std::filesystem::create_directories(folder / "st/1_Pooling");
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF, 3e38F})
    for (const char* pooling : {R"({"pooling_mode_mean_tokens":true})", R"({"pooling_mode_cls_token":true})"}) {
      std::string bytes = whole;
      for (std::size_t i = 0; i < 64; i += bad == 3e38F ? 1 : 64) std::memcpy(bytes.data() + header + (4 * 64 + i) * 4, &bad, 4);  // "the"
      put("st/model.safetensors", bytes);
      put("st/1_Pooling/config.json", pooling);
      for (const Precision p : {Precision::f32, Precision::bf16, Precision::int8, Precision::int8_portable}) {
        const auto encoder = Encoder::load(folder / "st", {.precision = p});
        ASSERT_TRUE(encoder) << encoder.error().text();
        const std::string_view texts[] = {"the stream", "news of streams"};
        const Matrix m = encoder->encode(texts);
        for (const float v : m.values) EXPECT_TRUE(std::isfinite(v));
        EXPECT_FALSE(Encoder::has_vector(m.row(0))) << bad << " " << pooling << " " << to_string(p);
        EXPECT_TRUE(Encoder::has_vector(m.row(1))) << bad << " " << pooling << " " << to_string(p);
        const Matrix states = encoder->token_states("the stream");
        for (const float v : states.values) EXPECT_EQ(v, 0.0F);
      }
    }
}

TEST_F(Folder, EmptyBatches) {
  const auto encoder = Encoder::load(folder / "st");
  ASSERT_TRUE(encoder);
  EXPECT_EQ(encoder->encode({}).rows, 0U);
  const std::string_view blank[] = {"", "  "};
  const Matrix m = encoder->encode(blank);
  EXPECT_FALSE(Encoder::has_vector(m.row(0)));
  EXPECT_FALSE(Encoder::has_vector(m.row(1)));
}

// On every row, in every precision, in any batch, order and number of threads: the same bits. int8-portable: on every row the same.
TEST_F(Folder, ContractOnEveryRow) {
  std::mt19937 random(7);
  std::vector<std::string> texts;
  const std::string_view words[] = {"the", "stream", "streams", "of", "news", "a", "ab", "c", ".", "注意力", "zebra", "query"};
  for (int i = 0; i < 60; ++i) {
    std::string text;
    for (unsigned n = random() % 40; n > 0; --n) text += std::string(words[random() % std::size(words)]) + " ";
    texts.push_back(text);
  }
  const std::vector<std::string_view> all(texts.begin(), texts.end());
  const auto threads = [](std::size_t n) {
    return Executor{n,
                    [](void*, std::size_t pieces, void (*task)(void*, std::size_t, std::size_t), void* argument) {
                      std::vector<std::jthread> running;
                      std::atomic<std::size_t> next = 0;
                      for (std::size_t worker = 0; worker < 3; ++worker)
                        running.emplace_back([&, worker] {
                          for (std::size_t i; (i = next++) < pieces;) task(argument, i, worker);
                        });
                    },
                    nullptr};
  };
  for (const char* model : {"st", "e5"}) {
    std::vector<float> portable;
    for (const math::Row row : math::all_rows) {
      if (math::kernels(row) == nullptr) continue;
      ::setenv("WEIR_CPU", std::string(math::to_string(row)).c_str(), 1);
      const Precision usual = row == math::Row::scalar ? Precision::f32 : row == math::Row::amx ? Precision::bf16 : Precision::int8;
      const auto by_default = Encoder::load(folder / model);
      ASSERT_TRUE(by_default);
      EXPECT_EQ(by_default->precision(), usual) << math::to_string(row);
      for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int8, Precision::int8_portable}) {
        const auto encoder = Encoder::load(folder / model, {.precision = precision, .cache = 0});
        ASSERT_TRUE(encoder);
        const Matrix together = encoder->encode(all);
        if (precision == Precision::int8_portable) {
          if (portable.empty()) portable = together.values;
          EXPECT_EQ(together.values, portable) << model << " " << math::to_string(row);
        }
        EXPECT_EQ(encoder->encode(all, threads(3)).values, together.values) << model << " " << math::to_string(row) << " " << to_string(precision);
        std::vector<std::size_t> order(all.size());
        std::iota(order.begin(), order.end(), 0);
        std::ranges::shuffle(order, random);
        std::vector<std::string_view> shuffled;
        for (const std::size_t i : order) shuffled.push_back(all[i]);
        const Matrix other = encoder->encode(shuffled);
        for (std::size_t i = 0; i < all.size(); ++i) {
          EXPECT_TRUE(std::ranges::equal(other.row(i), together.row(order[i]))) << model << " " << math::to_string(row) << " " << to_string(precision);
          EXPECT_TRUE(std::ranges::equal(encoder->encode({&all[i], 1}).row(0), together.row(i)))
              << model << " " << math::to_string(row) << " " << to_string(precision);
        }
      }
    }
    ::unsetenv("WEIR_CPU");
  }
}

// A model by name is pinned: the hash of every file is looked at whenever it is loaded.
TEST_F(Folder, APinnedModelThatIsChangedIsRefused) {
  const KnownModel& known = *known_model("minilm");
  const auto from = find_model("minilm");
  if (!from || !check_model(known, *from, Check::heads)) GTEST_SKIP() << "the model minilm is not here: weir model fetch minilm";
  const std::filesystem::path copy = folder / "minilm";
  std::filesystem::copy(*from, copy, std::filesystem::copy_options::recursive);
  ASSERT_TRUE(check_model(known, copy, Check::hashes));
  std::mt19937_64 random(9);
  std::fstream weights(copy / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  const auto flip = [&](std::uint64_t offset) {
    weights.seekg(static_cast<std::streamoff>(offset));
    const auto byte = static_cast<char>(weights.get() ^ 0x10);
    weights.seekp(static_cast<std::streamoff>(offset));
    weights.put(byte).flush();
  };
  const std::uint64_t bytes = std::filesystem::file_size(copy / "model.safetensors");
  for (int i = 0; i < 500; ++i) {
    const std::uint64_t offset = random() % (i % 2 == 0 ? 65'536 : bytes);
    flip(offset);
    const auto encoder = Encoder::load(copy);
    flip(offset);
    ASSERT_FALSE(encoder);
    ASSERT_EQ(encoder.error().code, Code::corrupt);
    ASSERT_NE(encoder.error().text().find("model.safetensors: expected sha256 53aa5117"), std::string::npos) << encoder.error().text();
    ASSERT_NE(encoder.error().text().find(", found "), std::string::npos);
    ASSERT_EQ(encoder.error().remedy, "weir model fetch minilm");
  }
  flip(12);
  EXPECT_FALSE(check_model(known, copy, Check::heads));
  flip(12);
  flip(bytes - 1);
  EXPECT_TRUE(check_model(known, copy, Check::heads));
  EXPECT_FALSE(check_model(known, copy, Check::hashes));
  flip(bytes - 1);
  std::filesystem::resize_file(copy / "vocab.txt", 1000);
  EXPECT_NE(Encoder::load(copy).error().text().find("vocab.txt: expected 231508 bytes, found 1000"), std::string::npos);
}

class Bombs : public testing::TestWithParam<const char*> {};

TEST_P(Bombs, CostLittle) {
  if (!find_model(GetParam())) GTEST_SKIP() << "the model " << GetParam() << " is not here: weir model fetch " << GetParam();
  const auto encoder = Encoder::load(GetParam());
  ASSERT_TRUE(encoder);
  constexpr std::size_t size = 10'000'000;
  std::string accents = "a", mixed, spaces(size, ' ');
  while (accents.size() < size) accents += "\xCC\x81";
  while (mixed.size() < size) mixed += "\xEF\xBC\xA1\xCC\x81";
  for (const std::string& bomb :
       {std::string(size, 'a'), std::string(size, '\x01'), accents, mixed, spaces, std::string(size, '\xFF'), std::string(size, '.')}) {
    double best = 1;
    for (int i = 0; i < 3; ++i) {
      const double began = cpu_seconds();
      EXPECT_LE(encoder->tokenize(bomb).size(), encoder->max_tokens());
      best = std::min(best, cpu_seconds() - began);
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    EXPECT_LE(best, 0.5);
#else
    EXPECT_LE(best, 0.010) << static_cast<int>(bomb[0]);
#endif
  }
}

// Long texts cut into pieces that fit: what a stream gives. At least 20 MB/s.
TEST_P(Bombs, TokenizingIsFast) {
  if (!find_model(GetParam())) GTEST_SKIP() << "the model " << GetParam() << " is not here: weir model fetch " << GetParam();
  const auto encoder = Encoder::load(GetParam());
  ASSERT_TRUE(encoder);
  const std::string english =
      "The central bank raised interest rates by a quarter point on Wednesday, citing persistent inflation and a tight labour market; economists had "
      "expected the move, though Moldovan hairdressers' unions (see p. 12) protested against microcredit re-pricing. ";
  const std::string chinese = "中国科学家在月球背面发现了新的矿物，研究结果发表在《自然》杂志上。北京时间11月24日，国家队以3比1战胜对手，提前一轮出线。";
  for (const std::string& text : {english, chinese}) {
    std::size_t bytes = 0;
    double best = 1e9;
    for (int repeat = 0; repeat < 20; ++repeat) {
      const double began = cpu_seconds();
      bytes = 0;
      for (int i = 0; i < 500; ++i) {
        EXPECT_LT(encoder->tokenize(text).size(), encoder->max_tokens());
        bytes += text.size();
      }
      best = std::min(best, cpu_seconds() - began);
    }
    std::printf("%s, %s: %.1f MB/s\n", GetParam(), text == english ? "English" : "Chinese", static_cast<double>(bytes) / best * 1e-6);
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_GE(static_cast<double>(bytes) / best, 10e6);  // half the promise: a machine that is busy
#endif
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Bombs, testing::Values("minilm", "e5-small"),
                         [](const auto& test) { return std::string(test.param == std::string("minilm") ? "minilm" : "e5"); });

}  // namespace
}  // namespace weir

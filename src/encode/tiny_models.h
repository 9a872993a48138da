// Models of a few kilobytes, made in memory, for tests of the loaders: one layer of 64, two heads.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::tiny {

inline float weight(std::size_t i) { return static_cast<float>(static_cast<int>(static_cast<std::uint32_t>(i) * 2654435761U >> 24U) - 128) / 1000.0F; }

inline std::string floats(std::size_t n, std::size_t seed) {
  std::string out(n * 4, '\0');
  for (std::size_t i = 0; i < n; ++i) {
    const float v = weight(i + seed * 977);
    std::memcpy(out.data() + i * 4, &v, 4);
  }
  return out;
}

inline constexpr std::string_view vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\nstream\n##s\nof\nnews\na\n##b\nc\n.\n注\n意\n力\n";

inline std::string config_json() {
  return R"({"model_type":"bert","hidden_size":64,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":128,"vocab_size":16,)"
         R"("max_position_embeddings":32,"type_vocab_size":2,"hidden_act":"gelu","layer_norm_eps":1e-12})";
}

inline std::string tokenizer_json() {
  std::string vocab;
  std::size_t id = 0;
  for (std::size_t at = 0; at < vocabulary.size();) {
    const std::size_t end = vocabulary.find('\n', at);
    vocab += (id == 0 ? "\"" : ",\"") + std::string(vocabulary.substr(at, end - at)) + "\":" + std::to_string(id);
    ++id;
    at = end + 1;
  }
  return R"({"version":"1.0","normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},)"
         R"("pre_tokenizer":{"type":"BertPreTokenizer"},"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##",)"
         R"("max_input_chars_per_word":100,"vocab":{)" +
         vocab + "}}}";
}

inline std::string safetensors() {
  std::vector<std::pair<std::string, std::pair<std::size_t, std::size_t>>> tensors{{"embeddings.word_embeddings.weight", {16, 64}},
                                                                                   {"embeddings.position_embeddings.weight", {32, 64}},
                                                                                   {"embeddings.token_type_embeddings.weight", {2, 64}}};
  const auto pair = [&](std::string name, std::size_t out, std::size_t in) {
    tensors.push_back({name + ".weight", {out, in}});
    tensors.push_back({name + ".bias", {0, out}});
  };
  const std::string l = "encoder.layer.0.";
  pair("embeddings.LayerNorm", 0, 64);
  tensors.back().second = {0, 64};
  for (const char* name : {"query", "key", "value"}) pair(l + "attention.self." + name, 64, 64);
  pair(l + "attention.output.dense", 64, 64);
  pair(l + "intermediate.dense", 128, 64);
  pair(l + "output.dense", 64, 128);
  for (const char* name : {"attention.output.LayerNorm", "output.LayerNorm"})
    for (const char* part : {".weight", ".bias"}) tensors.push_back({l + name + part, {0, 64}});
  std::string header, data;
  for (const auto& [name, shape] : tensors) {
    const std::size_t n = (shape.first == 0 ? 1 : shape.first) * shape.second, begin = data.size();
    data += floats(n, data.size());
    header += (header.empty() ? "{\"" : ",\"") + name + "\":{\"dtype\":\"F32\",\"shape\":[" + (shape.first == 0 ? "" : std::to_string(shape.first) + ",") +
              std::to_string(shape.second) + "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(data.size()) + "]}";
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  const std::uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + header + data;
}

inline std::string e5() {
  std::string out = "E5S1";
  const auto put = [&](auto v) { out.append(reinterpret_cast<const char*>(&v), sizeof(v)); };
  put(std::uint32_t{1});
  for (const int v : {64, 1, 2, 128, 16, 64, 1}) put(static_cast<std::int32_t>(v));
  put(1e-12F);
  put(std::int32_t{32});
  const std::vector<std::string_view> pieces{"<s>", "<pad>",           "</s>", "<unk>", "\xE2\x96\x81", "q", "u", "e", "r", "y", ":", "\xE2\x96\x81query", "s",
                                             "t",   "\xE2\x96\x81the", "注"};
  put(static_cast<std::int32_t>(pieces.size()));
  for (const int v : {0, 2, 1, 3}) put(static_cast<std::int32_t>(v));
  std::string blob;
  std::vector<std::uint32_t> offsets{0};
  for (const std::string_view p : pieces) {
    blob += p;
    offsets.push_back(static_cast<std::uint32_t>(blob.size()));
  }
  put(static_cast<std::uint64_t>(blob.size()));
  for (const std::uint32_t o : offsets) put(o);
  for (std::size_t i = 0; i < pieces.size(); ++i) put(-static_cast<float>(i) / 2);
  out += blob;
  put(std::int32_t{2});
  put(std::uint32_t{18});
  for (const std::uint32_t from : {0x09U, 0xFF21U}) {
    put(from);
    put(std::uint8_t{1});
    put(from == 0x09U ? std::uint32_t{' '} : std::uint32_t{'A'});
  }
  struct Entry {
    std::string name;
    bool q4;
    std::size_t n;
  };
  std::vector<Entry> entries{{"emb.word", true, 1024}, {"emb.pos", false, 4096}, {"emb.type", false, 64}, {"emb.ln.w", false, 64}, {"emb.ln.b", false, 64}};
  for (const char* m : {"q", "k", "v", "ao", "fi", "fo"}) {
    const bool wide = m[0] == 'f';
    entries.push_back({std::string("l0.") + m + ".w", true, wide ? 64U * 128U : 64U * 64U});
    entries.push_back({std::string("l0.") + m + ".b", false, std::string_view(m) == "fi" ? 128U : 64U});
  }
  for (const char* n : {"aln", "oln"})
    for (const char* part : {".w", ".b"}) entries.push_back({std::string("l0.") + n + part, false, 64});
  put(static_cast<std::int32_t>(entries.size()));
  std::size_t at = out.size();
  for (const Entry& e : entries) at += 2 + e.name.size() + 21;
  std::string data;
  for (const Entry& e : entries) {
    std::string bytes;
    if (e.q4)
      for (std::size_t b = 0; b < e.n / 32; ++b) {
        bytes += std::string("\x00\x28", 2);  // 2⁻⁵
        for (std::size_t i = 0; i < 16; ++i) bytes += static_cast<char>((b * 16 + i) * 2654435761U >> 24U);
      }
    else bytes = floats(e.n, e.n);
    put(static_cast<std::uint16_t>(e.name.size()));
    out += e.name;
    put(static_cast<std::uint8_t>(e.q4 ? 1 : 0));
    put(static_cast<std::uint32_t>(e.n));
    put(static_cast<std::uint64_t>(at + data.size()));
    put(static_cast<std::uint64_t>(bytes.size()));
    data += bytes;
  }
  return out + data;
}

}  // namespace weir::tiny

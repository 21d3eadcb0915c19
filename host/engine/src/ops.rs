//! Operators of `ai.onnx.ml` that tract lacks or that are replaced here, registered under their ONNX names.

mod cast;
mod categories;
mod columns;
mod distances;
mod elementwise;
mod features;
mod gemm;
mod kernel;
mod labels;
mod linear;
mod pattern;
mod scores;
mod svm;
mod text;
mod trees;
mod words;

use tract_onnx::model::OnnxOpRegister;

pub(crate) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("ArrayFeatureExtractor", features::array_feature_extractor);
    operators.insert("Binarizer", features::binarizer);
    operators.insert("Cast", cast::cast);
    operators.insert("CDist", distances::cdist);
    operators.insert("CategoryMapper", categories::category_mapper);
    operators.insert("FeatureVectorizer", features::feature_vectorizer);
    operators.insert("Gemm", gemm::gemm);
    operators.insert("IsNaN", elementwise::is_nan);
    operators.insert("Imputer", columns::imputer);
    operators.insert("LabelEncoder", categories::label_encoder);
    operators.insert("LinearClassifier", linear::classifier);
    operators.insert("LinearRegressor", linear::regressor);
    operators.insert("Normalizer", columns::normalizer);
    operators.insert("OneHotEncoder", categories::one_hot_encoder);
    operators.insert("RegexFullMatch", text::regex_full_match);
    operators.insert("SVMClassifier", svm::classifier);
    operators.insert("SVMRegressor", svm::regressor);
    operators.insert("Scaler", columns::scaler);
    operators.insert("Sigmoid", elementwise::sigmoid);
    operators.insert("StringConcat", text::string_concat);
    operators.insert("StringNormalizer", text::string_normalizer);
    operators.insert("StringSplit", text::string_split);
    operators.insert("TfIdfVectorizer", words::tf_idf_vectorizer);
    operators.insert("Tokenizer", words::tokenizer);
    operators.insert("TreeEnsemble", trees::ensemble);
    operators.insert("TreeEnsembleClassifier", trees::classifier);
    operators.insert("TreeEnsembleRegressor", trees::regressor);
    operators.insert("ZipMap", features::zip_map);
}

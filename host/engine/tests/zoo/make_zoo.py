"""Makes the zoo: fitted scikit-learn estimators as ONNX models, and scikit-learn's own answers: python3 make_zoo.py [NAME...]

Needs numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 pandas==3.1.1 scikit-learn==1.9.1 scipy==1.17.1 skl2onnx==1.20.0.
Seeded: run twice, the same files. `models/NAME.onnx` is what skl2onnx makes of an estimator. `answers.json` has the data
sets, and for each member which of them it is asked about and what scikit-learn answers, output by output:
{"data": {SET: [tensor]}, "members": [{"name", "estimator", "data", "outputs": [tensor + {"noise"}]}]}.

`noise` is how far ONNX Runtime lies from scikit-learn on the same rows: the float32 noise of the ONNX form. A member
whose noise is above NOISE relative is no member: its ONNX form means something else. Those are in `UNEQUAL`, each with
the reason, and this script fails if one of them has become equal.
"""

import json
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
from skl2onnx import convert_sklearn
from skl2onnx.common._container import ModelComponentContainer
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn import (
    calibration, cluster, compose, cross_decomposition, datasets, decomposition, discriminant_analysis, dummy, ensemble,
    feature_extraction, feature_selection, gaussian_process, impute, isotonic, kernel_approximation, linear_model,
    mixture, model_selection, multiclass, multioutput, naive_bayes, neighbors, neural_network, pipeline, preprocessing,
    random_projection, svm, tree,
)
from sklearn.gaussian_process import kernels
from sklearn.pipeline import make_pipeline

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent
ASKED = 24
NOISE = 2e-4


def split(table, target):
    """Rows to fit on, their targets, and rows to ask about: shuffled, so that every class is in both."""
    order = np.random.default_rng(7).permutation(len(target))
    asked, fitted = order[:ASKED], order[ASKED:ASKED + 150]
    take = (lambda rows: table.iloc[rows].reset_index(drop=True)) if hasattr(table, "iloc") else (lambda rows: table[rows])
    return take(fitted), np.asarray(target)[fitted], take(asked)


def float_table(loader, columns=None):
    data, target = loader(return_X_y=True)
    # As float32 sees it, so that both sides see the same numbers.
    return split(data[:, :columns].astype(np.float32).astype(np.float64), target)


def passengers():
    random = np.random.default_rng(11)
    n = 200
    age = random.normal(35, 12, n).round(1)
    age[random.random(n) < 0.2] = np.nan
    fare = random.gamma(2.0, 15.0, n).round(2)
    rank = random.integers(1, 4, n)
    sex = random.choice(["female", "male"], n)
    port = random.choice(["Cherbourg", "Queenstown", "Southampton"], n, p=[0.2, 0.1, 0.7])
    margin = 1.5 * (sex == "female") - 0.6 * rank + 0.02 * fare + 0.3 * (port == "Cherbourg") + 0.4
    survived = np.where(random.random(n) < 1 / (1 + np.exp(-margin)), "yes", "no")
    table = pd.DataFrame({"age": age, "fare": fare, "rank": rank, "sex": sex, "port": port}).astype({"sex": object, "port": object})
    table[["age", "fare"]] = table[["age", "fare"]].astype(np.float32).astype(np.float64)
    fitted, target, asked = split(table, survived)
    # Categories that were not there to fit on.
    asked.loc[3, "port"] = "Belfast"
    asked.loc[5, "sex"] = ""
    return fitted, target, asked


def sentences():
    random = np.random.default_rng(13)
    good = "wonderful bright lovely music great story happy laughed perfect warm".split()
    bad = "dull awful boring slow waste poor noisy cold sad broken".split()
    plain = "the film was a bit long and I saw it with my friend in May it's nice don't 1999 x".split()
    texts, labels = [], []
    for _ in range(150):
        label = int(random.integers(0, 2))
        words = list(random.choice(good if label else bad, 4)) + list(random.choice(plain, 8))
        random.shuffle(words)
        text = " ".join(words)
        texts.append(text.capitalize() + random.choice([".", "!", " ...", "?"]))
        labels.append(label)
    fitted, target, asked = split(np.array(texts, dtype=object), labels)
    asked[0], asked[1], asked[2] = "", "Unseen words only", "DULL, dull;dull  slow\tmusic_and\nstory"
    return fitted, target, asked


def counts():
    random = np.random.default_rng(17)
    target = random.integers(0, 3, 180)
    rates = np.array([[4, 1, 0.3, 2, 1, 0.1], [0.5, 3, 2, 0.2, 1, 1], [1, 1, 1, 1, 4, 3]])
    return split(random.poisson(rates[target]).astype(np.float64), target)


def categories():
    random = np.random.default_rng(19)
    table = np.stack([random.choice(v, 180) for v in (["red", "green", "blue"], ["s", "m", "l", "xl"])], 1).astype(object)
    target = (table[:, 0] == "red").astype(int) + (table[:, 1] == "xl")
    fitted, target, asked = split(table, target)
    asked[2, 0], asked[4, 1] = "purple", ""
    return fitted, target, asked


def gaps():
    fitted, target, asked = float_table(datasets.load_wine, 6)
    random = np.random.default_rng(23)
    for rows in (fitted, asked):
        rows[random.random(rows.shape) < 0.15] = np.nan
    return fitted, target, asked


def regression_pair():
    fitted, target, asked = float_table(datasets.load_diabetes, 6)
    return fitted, np.stack([target, np.sqrt(target)], 1), asked


def positive(data):
    fitted, target, asked = data
    return np.abs(fitted), target, np.abs(asked)


IRIS = float_table(datasets.load_iris)
DATA = {
    "iris": IRIS,
    "iris names": (IRIS[0], np.array(["setosa", "versicolor", "virginica"])[IRIS[1]], IRIS[2]),
    "cancer": float_table(datasets.load_breast_cancer, 10),
    "wine": float_table(datasets.load_wine, 6),
    "diabetes": float_table(datasets.load_diabetes, 6),
    "pair": regression_pair(),
    "gaps": gaps(),
    "passengers": passengers(),
    "sentences": sentences(),
    "counts": counts(),
    "categories": categories(),
}
fitted, target, asked = DATA["categories"]
DATA["categories known"] = fitted, target, np.where(np.isin(asked, ["purple", ""]), fitted[0], asked)
fitted, target, asked = DATA["passengers"]
known = fitted[fitted.age.notna()]
DATA["passengers gapless"] = known.reset_index(drop=True), target[fitted.age.notna()], asked.fillna({"age": 30.0})
fitted, target, asked = DATA["counts"]
DATA["counts whole"] = fitted.astype(np.int64), target, asked.astype(np.int64)
DATA["labels"] = DATA["categories"][0][:, 0], None, DATA["categories known"][2][:, 0]
DATA["numbered labels"] = np.arange(5) * 3, None, np.array([0, 12, 3, 7, 6, 9])
DATA["many labels"] = (IRIS[0], np.stack([IRIS[1] == 0, IRIS[1] != 1], 1).astype(int), IRIS[2])
# Data sets whose rows are those of another.
SAME_ROWS = {"iris names": "iris", "pair": "diabetes", "many labels": "iris"}

MEMBERS = []
UNEQUAL = []


def member(name, estimator, data, asks=None, **options):
    """`asks`: the methods that the outputs of the ONNX form stand for; `double`: the graph takes and computes doubles."""
    MEMBERS.append((name, estimator, data, asks, options))


def unequal(reason, *args, **options):
    """What would be a `member` if its ONNX form, run by ONNX Runtime, answered as scikit-learn does."""
    member(*args, **options)
    UNEQUAL.append((reason, MEMBERS.pop()))


def scaled(estimator):
    return make_pipeline(preprocessing.StandardScaler(), estimator)


def mixed(final, numbers=None, words=None):
    numbers = numbers or make_pipeline(impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler())
    words = words or preprocessing.OneHotEncoder(handle_unknown="ignore")
    columns = compose.ColumnTransformer([("numbers", numbers, ["age", "fare"]), ("rank", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["rank"]), ("words", words, ["sex", "port"])])
    return make_pipeline(columns, final)


# Linear models.
member("logistic_two", scaled(linear_model.LogisticRegression()), "cancer")
member("logistic_three", linear_model.LogisticRegression(max_iter=500), "iris")
member("logistic_names", linear_model.LogisticRegression(max_iter=500), "iris names")
member("logistic_columns", linear_model.LogisticRegression(max_iter=500), "iris names", zipmap="columns")
member("logistic_cv", scaled(linear_model.LogisticRegressionCV(Cs=3, cv=3)), "iris", zipmap=False)
member("logistic_one_vs_rest", multiclass.OneVsRestClassifier(linear_model.LogisticRegression(max_iter=500)), "iris", zipmap=False)
member("logistic_one_vs_one", multiclass.OneVsOneClassifier(linear_model.LogisticRegression(max_iter=500)), "iris", ["predict"])
member("sgd_hinge", scaled(linear_model.SGDClassifier(random_state=0)), "cancer", ["predict"], zipmap=False)
member("sgd_log", scaled(linear_model.SGDClassifier(loss="log_loss", random_state=0)), "iris", zipmap=False)
member("perceptron", scaled(linear_model.Perceptron(random_state=0)), "iris", ["predict"], zipmap=False)
member("passive_aggressive", scaled(linear_model.SGDClassifier(loss="hinge", penalty=None, learning_rate="pa1", eta0=1.0, random_state=0)), "cancer", ["predict"], zipmap=False)
member("ridge_classifier", scaled(linear_model.RidgeClassifier()), "iris", ["predict", "decision_function"], zipmap=False)
member("linear_regression", linear_model.LinearRegression(), "diabetes")
member("linear_regression_double", linear_model.LinearRegression(), "diabetes", double=True)
member("linear_regression_pair", linear_model.LinearRegression(), "pair")
member("ridge", linear_model.Ridge(), "diabetes")
member("ridge_cv", linear_model.RidgeCV(), "diabetes")
member("lasso", linear_model.Lasso(alpha=0.1), "diabetes")
member("lasso_lars", linear_model.LassoLars(alpha=0.1), "diabetes")
member("lars", linear_model.Lars(n_nonzero_coefs=3), "diabetes")
member("elastic_net", linear_model.ElasticNet(alpha=0.1), "diabetes")
member("multi_task_lasso", linear_model.MultiTaskLasso(alpha=0.1), "pair")
member("bayesian_ridge", linear_model.BayesianRidge(), "diabetes")
member("ard", linear_model.ARDRegression(), "diabetes")
member("huber", linear_model.HuberRegressor(max_iter=1000), "diabetes")
member("theil_sen", linear_model.TheilSenRegressor(random_state=0, max_subpopulation=100), "diabetes")
member("ransac", linear_model.RANSACRegressor(random_state=0), "diabetes")
member("quantile", linear_model.QuantileRegressor(alpha=0.01), "diabetes")
member("omp", linear_model.OrthogonalMatchingPursuit(), "diabetes")
member("sgd_regressor", linear_model.SGDRegressor(random_state=0), "diabetes")
member("poisson", linear_model.PoissonRegressor(alpha=0.01), "diabetes")
member("gamma", linear_model.GammaRegressor(alpha=0.01), "diabetes")
member("tweedie", linear_model.TweedieRegressor(power=1.5, alpha=0.01), "diabetes")
member("linear_svr", scaled(svm.LinearSVR(random_state=0, max_iter=10000)), "diabetes")
member("linear_svc", svm.LinearSVC(random_state=0), "iris", ["predict", "decision_function"])
member("linear_svc_two", svm.LinearSVC(random_state=0), "cancer", ["predict"])

# Support vectors.
for kernel in ("linear", "poly", "rbf", "sigmoid"):
    member(f"svc_{kernel}", scaled(svm.SVC(kernel=kernel)), "iris", ["predict", "decision_function"], zipmap=False)
    member(f"svr_{kernel}", scaled(svm.SVR(kernel=kernel)), "diabetes")
member("svc_two", scaled(svm.SVC()), "cancer", ["predict"], zipmap=False)
member("svc_probability", scaled(svm.SVC(probability=True, random_state=0)), "iris", zipmap=False)
member("svc_probability_two", scaled(svm.SVC(probability=True, random_state=0)), "cancer")
member("svc_one_vs_one", scaled(svm.SVC(decision_function_shape="ovo")), "iris", ["predict", "decision_function"], zipmap=False)
member("svc_names", scaled(svm.SVC(probability=True, random_state=0)), "iris names")
member("nu_svc", scaled(svm.NuSVC(nu=0.3)), "iris", ["predict", "decision_function"], zipmap=False)
member("nu_svc_probability", scaled(svm.NuSVC(nu=0.3, probability=True, random_state=0)), "iris")
member("nu_svr", scaled(svm.NuSVR()), "diabetes")
member("one_class_svm", scaled(svm.OneClassSVM(nu=0.2)), "iris", ["predict", "decision_function"])
member("sgd_one_class", scaled(linear_model.SGDOneClassSVM(random_state=0)), "iris", ["predict", "decision_function"])

# Neighbours.
member("knn_classifier", neighbors.KNeighborsClassifier(), "iris")
member("sgd_huber_two", scaled(linear_model.SGDClassifier(loss="modified_huber", random_state=0)), "cancer", zipmap=False)
member("knn_minkowski", neighbors.KNeighborsRegressor(metric="minkowski", p=3), "pair")
member("knn_manhattan", neighbors.KNeighborsClassifier(metric="manhattan"), "iris names", zipmap=False)
member("knn_regressor", neighbors.KNeighborsRegressor(), "diabetes")
member("knn_cdist", neighbors.KNeighborsRegressor(), "diabetes", optim="cdist")
member("knn_opset_ten", neighbors.KNeighborsClassifier(), "iris", zipmap=False, opset=10)
member("local_outlier", neighbors.LocalOutlierFactor(novelty=True), "iris", ["predict", "decision_function"], double=True)
member("nearest_neighbors", neighbors.NearestNeighbors(n_neighbors=3, radius=None), "wine", ["kneighbors"])
member("neighbourhood_components", make_pipeline(neighbors.NeighborhoodComponentsAnalysis(n_components=2, random_state=0, max_iter=20), neighbors.KNeighborsClassifier()), "iris", zipmap=False)

# Gaussian processes.
rbf = kernels.ConstantKernel(1.0) * kernels.RBF(1.0)
member("gaussian_process", scaled(gaussian_process.GaussianProcessRegressor(rbf + kernels.WhiteKernel(0.5), optimizer=None, normalize_y=True)), "diabetes", double=True)
member("gaussian_process_float", scaled(gaussian_process.GaussianProcessRegressor(rbf, alpha=1.0, optimizer=None, normalize_y=True)), "diabetes")
member("gaussian_process_matern", scaled(gaussian_process.GaussianProcessRegressor(kernels.Matern(nu=1.5), alpha=1.0, optimizer=None)), "diabetes", double=True)
member("gaussian_process_dot", scaled(gaussian_process.GaussianProcessRegressor(kernels.DotProduct() + kernels.RationalQuadratic(), alpha=1.0, optimizer=None)), "diabetes", double=True)
member("gaussian_process_std", scaled(gaussian_process.GaussianProcessRegressor(rbf, alpha=1.0, optimizer=None)), "diabetes", ["predict_std"], double=True, return_std=True)

# Naive Bayes.
member("naive_gaussian", naive_bayes.GaussianNB(), "iris")
member("naive_multinomial", naive_bayes.MultinomialNB(), "counts")
member("naive_complement", naive_bayes.ComplementNB(), "counts", zipmap=False)
member("naive_bernoulli", naive_bayes.BernoulliNB(binarize=0.5), "counts", zipmap=False)
member("naive_categorical", make_pipeline(preprocessing.OrdinalEncoder(dtype=np.int64), naive_bayes.CategoricalNB()), "categories known", zipmap=False)

# Discriminants, mixtures, clusters, networks, what else.
member("linear_discriminant", discriminant_analysis.LinearDiscriminantAnalysis(), "iris")
member("quadratic_discriminant", discriminant_analysis.QuadraticDiscriminantAnalysis(), "iris", zipmap=False)
member("gaussian_mixture", mixture.GaussianMixture(3, random_state=0), "iris", ["predict", "predict_proba"], double=True)
member("bayesian_mixture", mixture.BayesianGaussianMixture(n_components=3, random_state=0), "iris", ["predict", "predict_proba"], double=True)
member("k_means", cluster.KMeans(3, n_init=2, random_state=0), "iris", ["predict", "transform"])
member("mini_batch_k_means", scaled(cluster.MiniBatchKMeans(4, n_init=2, random_state=0)), "wine", ["predict", "transform"])
member("mlp_classifier", scaled(neural_network.MLPClassifier((8,), max_iter=300, random_state=0)), "iris")
member("mlp_two", scaled(neural_network.MLPClassifier((8, 4), activation="tanh", max_iter=300, random_state=0)), "cancer", zipmap=False)
member("mlp_regressor", scaled(neural_network.MLPRegressor(hidden_layer_sizes=(8,), activation="logistic", max_iter=300, random_state=0)), "diabetes")

# Trees and ensembles.
member("tree_classifier", tree.DecisionTreeClassifier(max_depth=4, random_state=0), "iris")
member("tree_regressor", tree.DecisionTreeRegressor(max_depth=4, random_state=0), "diabetes")
member("tree_pair", tree.DecisionTreeRegressor(max_depth=4, random_state=0), "pair")
member("extra_tree", tree.ExtraTreeClassifier(max_depth=4, random_state=0), "wine", zipmap=False)
member("forest_classifier", ensemble.RandomForestClassifier(10, max_depth=4, random_state=0), "iris names")
member("forest_regressor", ensemble.RandomForestRegressor(10, max_depth=4, random_state=0), "diabetes")
member("extra_trees_classifier", ensemble.ExtraTreesClassifier(10, max_depth=4, random_state=0), "wine")
member("extra_trees_regressor", ensemble.ExtraTreesRegressor(10, max_depth=4, random_state=0), "pair")
member("gradient_boosting_two", ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0), "cancer")
member("gradient_boosting_three", ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0), "iris", zipmap=False)
member("gradient_boosting_regressor", ensemble.GradientBoostingRegressor(n_estimators=10, random_state=0), "diabetes")
member("hist_boosting_classifier", ensemble.HistGradientBoostingClassifier(max_iter=8, random_state=0), "gaps")
member("hist_boosting_two", ensemble.HistGradientBoostingClassifier(max_iter=8, random_state=0), "cancer", zipmap=False)
member("hist_boosting_regressor", ensemble.HistGradientBoostingRegressor(max_iter=8, random_state=0), "diabetes")
member("ada_boost", ensemble.AdaBoostClassifier(n_estimators=5, random_state=0), "iris")
member("ada_boost_regressor", ensemble.AdaBoostRegressor(n_estimators=5, random_state=0), "diabetes")
member("isolation_forest", ensemble.IsolationForest(n_estimators=10, random_state=0), "iris", ["predict", "decision_function"], opset={"": 18, "ai.onnx.ml": 3})
member("trees_embedding", ensemble.RandomTreesEmbedding(5, max_depth=3, random_state=0, sparse_output=False), "iris")
member("bagging", ensemble.BaggingClassifier(linear_model.LogisticRegression(max_iter=500), 4, random_state=0), "iris")
member("bagging_features", ensemble.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=3), 4, max_features=0.5, random_state=0), "wine", zipmap=False)
member("bagging_regressor", ensemble.BaggingRegressor(tree.DecisionTreeRegressor(max_depth=3), 4, random_state=0), "diabetes")
member("voting_soft", ensemble.VotingClassifier([("a", linear_model.LogisticRegression(max_iter=500)), ("b", naive_bayes.GaussianNB()), ("c", tree.DecisionTreeClassifier(max_depth=3, random_state=0))], voting="soft", weights=np.array([2, 1, 1]), flatten_transform=False), "iris")
member("voting_hard", ensemble.VotingClassifier([("a", linear_model.LogisticRegression(max_iter=500)), ("b", naive_bayes.GaussianNB()), ("c", tree.DecisionTreeClassifier(max_depth=3, random_state=0))], flatten_transform=False), "iris", ["predict"], zipmap=False)
member("voting_regressor", ensemble.VotingRegressor([("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=3, random_state=0))]), "diabetes")
member("stacking", ensemble.StackingClassifier([("a", naive_bayes.GaussianNB()), ("b", tree.DecisionTreeClassifier(max_depth=3, random_state=0))], linear_model.LogisticRegression(), cv=3), "iris")
member("stacking_regressor", ensemble.StackingRegressor([("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=3, random_state=0))], linear_model.Ridge(), cv=3, passthrough=True), "diabetes")
member("calibrated_sigmoid", calibration.CalibratedClassifierCV(svm.LinearSVC(random_state=0), cv=3), "iris")
member("calibrated_forest", calibration.CalibratedClassifierCV(ensemble.RandomForestClassifier(5, max_depth=3, random_state=0), cv=2), "cancer")
member("multi_output_regressor", multioutput.MultiOutputRegressor(linear_model.Ridge()), "pair")
member("multi_label_knn", neighbors.KNeighborsClassifier(), "many labels", ["predict"], zipmap=False)
member("grid_search", model_selection.GridSearchCV(linear_model.LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=3), "iris")
member("tuned_threshold", model_selection.TunedThresholdClassifierCV(scaled(linear_model.LogisticRegression()), cv=3), "cancer", zipmap=False)

# Tables of numbers and words.
member("mixed_logistic", mixed(linear_model.LogisticRegression()), "passengers")
member("mixed_forest", mixed(ensemble.RandomForestClassifier(6, max_depth=4, random_state=0), "passthrough"), "passengers gapless")
member("mixed_boosting", mixed(ensemble.GradientBoostingClassifier(n_estimators=8, random_state=0), impute.SimpleImputer(), preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)), "passengers", zipmap=False)
member("mixed_hist", mixed(ensemble.HistGradientBoostingClassifier(max_iter=6, random_state=0), "passthrough", preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)), "passengers", zipmap=False)
member("mixed_svc", mixed(svm.SVC(probability=True, random_state=0)), "passengers")
member("mixed_dense", mixed(linear_model.LogisticRegression(), words=preprocessing.OneHotEncoder(drop="first", handle_unknown="ignore", sparse_output=False)), "passengers", zipmap=False)
member("mixed_features", make_pipeline(compose.ColumnTransformer([("words", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["sex", "port"])], remainder="drop"), feature_selection.SelectKBest(k=3), linear_model.LogisticRegression()), "passengers", zipmap=False)
member("mixed_target", mixed(linear_model.LogisticRegression(), words=preprocessing.TargetEncoder(random_state=0)), "passengers", zipmap=False)

# Text.
def words(vectoriser, final=None):
    return make_pipeline(vectoriser, final or linear_model.LogisticRegression())

text = feature_extraction.text
member("text_count", words(text.CountVectorizer()), "sentences")
member("text_tfidf", words(text.TfidfVectorizer()), "sentences")
member("text_pairs", words(text.TfidfVectorizer(ngram_range=(1, 2), max_features=80, token_pattern="[a-zA-Z0-9_]+")), "sentences", zipmap=False)
member("text_stop_words", words(text.TfidfVectorizer(stop_words=["the", "a", "it"])), "sentences", zipmap=False)
member("text_case", words(text.CountVectorizer(lowercase=False, binary=True)), "sentences", zipmap=False)
member("text_letters", words(text.TfidfVectorizer(analyzer="char", ngram_range=(2, 3), max_features=100)), "sentences", zipmap=False)
member("text_words_only", words(text.CountVectorizer(token_pattern="[a-zA-Z]+")), "sentences", zipmap=False)
member("text_naive", words(text.CountVectorizer(), naive_bayes.MultinomialNB()), "sentences")
member("text_svd", make_pipeline(text.TfidfVectorizer(norm="l1"), decomposition.TruncatedSVD(4, random_state=0), svm.SVC()), "sentences", ["predict"], zipmap=False)
member("text_transformer", make_pipeline(text.CountVectorizer(), text.TfidfTransformer(smooth_idf=False), linear_model.SGDClassifier(loss="log_loss", random_state=0)), "sentences")

# Transformers alone.
for name, estimator, data in [
    ("standard_scaler", preprocessing.StandardScaler(), "iris"),
    ("min_max_scaler", preprocessing.MinMaxScaler(clip=True), "iris"),
    ("max_abs_scaler", preprocessing.MaxAbsScaler(), "iris"),
    ("robust_scaler", preprocessing.RobustScaler(), "iris"),
    ("normalizer_l1", preprocessing.Normalizer("l1"), "iris"),
    ("normalizer_l2", preprocessing.Normalizer(), "iris"),
    ("normalizer_max", preprocessing.Normalizer("max"), "iris"),
    ("binarizer", preprocessing.Binarizer(threshold=2.0), "iris"),
    ("bins_ordinal", preprocessing.KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf"), "iris"),
    ("bins_one_hot", preprocessing.KBinsDiscretizer(4, encode="onehot-dense", strategy="uniform"), "diabetes"),
    ("polynomial", preprocessing.PolynomialFeatures(3), "iris"),
    ("polynomial_interaction", preprocessing.PolynomialFeatures(2, interaction_only=True, include_bias=False), "wine"),
    ("power_yeo_johnson", preprocessing.PowerTransformer(), "iris"),
    ("power_box_cox", preprocessing.PowerTransformer("box-cox"), "iris"),
    ("quantile_transformer", preprocessing.QuantileTransformer(n_quantiles=20), "iris"),
    ("imputer_mean", impute.SimpleImputer(), "gaps"),
    ("imputer_constant", impute.SimpleImputer(strategy="constant", fill_value=-1.0), "gaps"),
    ("imputer_words", impute.SimpleImputer(missing_values="", strategy="most_frequent"), "categories"),
    ("one_hot", preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False), "categories"),
    ("one_hot_counts", preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False), "counts whole"),
    ("ordinal", preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), "categories"),
    ("function", preprocessing.FunctionTransformer(), "iris"),
    ("variance_threshold", feature_selection.VarianceThreshold(0.5), "iris"),
    ("select_best", feature_selection.SelectKBest(k=2), "iris"),
    ("select_percentile", feature_selection.SelectPercentile(percentile=50), "wine"),
    ("select_from_model", feature_selection.SelectFromModel(linear_model.LogisticRegression(max_iter=500)), "iris"),
    ("recursive_elimination", feature_selection.RFE(linear_model.LogisticRegression(max_iter=500), n_features_to_select=2), "iris"),
    ("pca", decomposition.PCA(2), "iris"),
    ("pca_whiten", decomposition.PCA(2, whiten=True), "iris"),
    ("incremental_pca", decomposition.IncrementalPCA(2), "iris"),
    ("truncated_svd", decomposition.TruncatedSVD(2, random_state=0), "iris"),
    ("kernel_pca", decomposition.KernelPCA(2, kernel="rbf", gamma=0.5), "iris"),
    ("random_projection", random_projection.GaussianRandomProjection(2, random_state=0), "iris"),
    ("union", pipeline.FeatureUnion([("pca", decomposition.PCA(2)), ("scaler", preprocessing.StandardScaler())]), "iris"),
]:
    member(name, estimator, data, ["transform"])
member("pls", cross_decomposition.PLSRegression(2), "pair")
member("label_binarizer", preprocessing.LabelBinarizer(), "numbered labels", ["transform"])
member("label_encoder", preprocessing.LabelEncoder(), "labels", ["transform"])

# What is no member, and why.
unequal(
    "labels come from clipped probabilities, where several classes are equal; scikit-learn takes the decision function's",
    "sgd_huber", scaled(linear_model.SGDClassifier(loss="modified_huber", random_state=0)), "iris", zipmap=False,
)
unequal(
    "every neighbour gets the same weight",
    "knn_distance", neighbors.KNeighborsClassifier(weights="distance"), "wine", zipmap=False,
)
unequal(
    "every neighbour gets the same weight",
    "knn_regressor_distance", neighbors.KNeighborsRegressor(weights="distance", metric="minkowski", p=3), "pair",
)
unequal(
    "ONNX Runtime refuses the position -1 that stands for a row outside of the radius",
    "radius_classifier", scaled(neighbors.RadiusNeighborsClassifier(radius=2.5)), "iris", ["predict"], zipmap=False,
)
unequal(
    "as radius_classifier",
    "radius_regressor", scaled(neighbors.RadiusNeighborsRegressor(radius=6.0)), "diabetes",
)
unequal(
    "neighbours at equal distances are taken in another order",
    "knn_imputer", impute.KNNImputer(n_neighbors=3), "gaps",
)
unequal(
    "needs com.microsoft.Solve, which ONNX Runtime lacks",
    "gaussian_process_classifier", scaled(gaussian_process.GaussianProcessClassifier(rbf, optimizer=None)), "cancer", double=True, zipmap=False,
)
unequal(
    "two classes get the softmax of one score and its negative, scikit-learn's are its logistic",
    "linear_discriminant_two", scaled(discriminant_analysis.LinearDiscriminantAnalysis()), "cancer", zipmap=False,
)
unequal(
    "skl2onnx has no converter",
    "dummy_most_frequent", dummy.DummyClassifier(), "iris", ["predict"],
)
unequal(
    "the steps of isotonic regression are not interpolated",
    "isotonic_calibration", calibration.CalibratedClassifierCV(linear_model.LogisticRegression(max_iter=500), method="isotonic", cv=3), "iris", zipmap=False,
)
unequal(
    "the scores are a sequence of tensors",
    "multi_output_classifier", multioutput.MultiOutputClassifier(linear_model.LogisticRegression(max_iter=500)), "many labels", ["predict"], zipmap=False,
)
unequal(
    "skl2onnx has no converter; take best_estimator_",
    "random_search", model_selection.RandomizedSearchCV(scaled(svm.SVR()), {"svr__C": [0.1, 1.0, 10.0]}, n_iter=2, cv=3, random_state=0), "diabetes",
)
unequal(
    "skl2onnx has no converter",
    "transformed_target", compose.TransformedTargetRegressor(linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1), "diabetes",
)
unequal(
    "infrequent categories are not converted",
    "mixed_infrequent", mixed(linear_model.LogisticRegression(), words=preprocessing.OneHotEncoder(min_frequency=40, handle_unknown="infrequent_if_exist")), "passengers", zipmap=False,
)
unequal("skl2onnx has no converter", "spline", preprocessing.SplineTransformer(n_knots=4), "iris")
unequal("skl2onnx has no converter", "missing_indicator", impute.MissingIndicator(features="all"), "gaps")
unequal("skl2onnx has no converter", "fast_ica", decomposition.FastICA(2, random_state=0), "iris")
unequal("skl2onnx has no converter", "nystroem", kernel_approximation.Nystroem(n_components=8, random_state=0), "iris")
unequal(
    "short words are dropped after the pairs are formed, scikit-learn drops them before",
    "text_pairs_of_long_words", words(text.CountVectorizer(ngram_range=(1, 2))), "sentences", zipmap=False,
)
unequal(
    "log2(1 + tf) instead of 1 + log(tf)",
    "text_sublinear", words(text.TfidfVectorizer(sublinear_tf=True)), "sentences", zipmap=False,
)
unequal(
    "the columns that say where a value was missing are not converted",
    "mixed_indicator", mixed(linear_model.LogisticRegression(), impute.SimpleImputer(add_indicator=True)), "passengers",
)


# skl2onnx hands on numpy's whole numbers where scikit-learn 1.9 keeps them, and onnx takes Python's only.
add_node = ModelComponentContainer.add_node


def add_plain_node(self, *args, **attributes):
    plain = lambda value: [int(v) if isinstance(v, (np.integer, bool, np.bool_)) else v for v in value] if isinstance(value, list) else value
    return add_node(self, *args, **{name: plain(value) for name, value in attributes.items()})


ModelComponentContainer.add_node = add_plain_node


def rows_of(data, asked, double):
    """The named inputs of the graph for these rows."""
    if hasattr(asked, "columns"):
        columns = {name: asked[[name]].to_numpy() for name in asked.columns}
        return {name: rows.astype(np.float32) if rows.dtype == np.float64 else rows for name, rows in columns.items()}
    if data == "numbered labels":
        return {"x": asked.reshape(-1, 1)}
    if data == "sentences" or data == "labels":
        return {"x": np.asarray(asked, dtype=object).reshape(-1, 1)}
    if asked.dtype == np.float64 and not double:
        return {"x": asked.astype(np.float32)}
    return {"x": asked}


def declare(inputs):
    types = {"float32": FloatTensorType, "float64": DoubleTensorType, "int64": Int64TensorType, "object": StringTensorType}
    return [(name, types[str(rows.dtype)]([None, rows.shape[1]])) for name, rows in inputs.items()]


def ask(estimator, methods, asked):
    """scikit-learn's answers, one array for each output of the ONNX form."""
    if methods is None:
        if hasattr(estimator, "predict_proba"):
            methods = ["predict", "predict_proba"]
        else:
            methods = ["predict" if hasattr(estimator, "predict") else "transform"]
    answers = []
    for method in methods:
        if method == "predict_std":
            answers += estimator.predict(asked, return_std=True)
        elif method == "kneighbors":
            answers += estimator.kneighbors(asked)[::-1]
        else:
            answers.append(getattr(estimator, method)(asked))
    return [np.asarray(a.todense()) if hasattr(a, "todense") else np.asarray(a) for a in answers]


def run(onnx_model, inputs):
    # A locale that every machine has; the default is en_US, which matters to no letter here.
    onnx_model = onnx.load_from_string(onnx_model)
    for node in onnx_model.graph.node:
        if node.op_type == "StringNormalizer":
            kept = [a for a in node.attribute if a.name != "locale"] + [onnx.helper.make_attribute("locale", "C.UTF-8")]
            del node.attribute[:]
            node.attribute.extend(kept)
    onnx_model = onnx_model.SerializeToString()
    session = ort.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])
    outputs = {}
    for info, value in zip(session.get_outputs(), session.run(None, inputs)):
        if isinstance(value, list):
            # A ZipMap's rows: here the scores are what remains, in the order of the classes.
            value = np.array([list(row.values()) for row in value], dtype=np.float32)
        outputs[info.name] = value
    return outputs


def tensor(name, array):
    dtype = {"object": "string", "float32": "f32", "float64": "f64", "int64": "i64", "int32": "i32", "bool": "bool"}[str(array.dtype)]
    values = array.ravel().tolist()
    if dtype.startswith("f"):
        values = [float(str(v)) if np.isfinite(v) else str(v) for v in array.ravel()]
        values = [int(v) if isinstance(v, float) and v == int(v) else v for v in values]
    return {"name": name, "dtype": dtype, "shape": list(array.shape), "values": values}


def compare(output, got, expected):
    """The answer to expect of an output, and how far ONNX Runtime is from it."""
    if got.size != expected.size:
        raise ValueError(f"{output}: expected {expected.shape}, got {got.shape}")
    expected = expected.reshape(got.shape)
    if got.dtype.kind in "OSU" or expected.dtype.kind in "OSU":
        wrong = int((got.astype(str) != expected.astype(str)).sum())
        if wrong:
            raise ValueError(f"{output}: {wrong} of {got.size} labels differ")
        return got, 0.0
    if got.dtype.kind in "iub":
        wrong = int((got != expected).sum())
        if wrong:
            raise ValueError(f"{output}: {wrong} of {got.size} whole numbers differ")
        return got, 0.0
    expected = expected.astype(np.float64)
    scale = np.maximum(np.abs(expected), 1.0)
    far = np.where(np.isnan(got) & np.isnan(expected) | (got == expected), 0, np.abs(got - expected) / scale)
    noise = float(np.nan_to_num(far, nan=np.inf).max(initial=0))
    if noise > NOISE:
        raise ValueError(f"{output}: off by {noise:.1e} (relative, or absolute below 1)")
    return expected.astype(np.float64), noise


def forget_addresses(graph, names):
    """skl2onnx puts numbers into names that are another in every process: addresses, and counts from the last model."""
    changing = r"UU\d+UU|\d{12,}|(?<=cdistd_)\d+"
    plain = lambda name: re.sub(changing, lambda found: names.setdefault(found[0], f"n{len(names)}"), name)
    for node in graph.node:
        node.name = plain(node.name)
        for values in (node.input, node.output):
            values[:] = [plain(value) for value in values]
        for attribute in node.attribute:
            forget_addresses(attribute.g, names)
    for info in [*graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        info.name = plain(info.name)


def make(name, estimator, data, methods, options):
    """Fits, converts, asks both, and gives the bytes of the model and its entry."""
    options = dict(options)
    double, target_opset = options.pop("double", False), options.pop("opset", 18)
    fitted, target, asked = DATA[data]
    estimator.fit(fitted) if target is None else estimator.fit(fitted, target)
    inputs = rows_of(data, asked, double)
    more = {"options": {id(estimator): options}} if options else {}
    with_std = {k: v for k, v in options.items() if k in ("return_std", "optim")}
    if with_std and hasattr(estimator, "steps"):
        more = {"options": {id(estimator.steps[-1][1]): options}}
    onnx_model = convert_sklearn(estimator, name, declare(inputs), target_opset=target_opset, **more)
    forget_addresses(onnx_model.graph, {})
    onnx_model = onnx_model.SerializeToString()
    outputs = run(onnx_model, inputs)
    answers = ask(estimator, methods, asked)
    if options.get("zipmap") == "columns":
        answers = [answers[0], *answers[1].T]
    elif len(answers) != len(outputs) and not name.startswith("multi"):
        answers = answers[:len(outputs)]
    entry = {"name": name, "estimator": str(type(estimator).__name__), "data": data, "double": double, "outputs": []}
    for (output, got), answer in zip(outputs.items(), answers):
        expected, noise = compare(output, got, answer)
        entry["outputs"].append({**tensor(output, expected), "dtype": tensor(output, got[:0])["dtype"], "noise": float(f"{noise:.1e}")})
    return onnx_model, entry


def main(names):
    chosen = lambda name: not names or name in names
    entries, size = [], 0
    (HERE / "models").mkdir(exist_ok=True)
    for name, *rest in MEMBERS:
        if not chosen(name):
            continue
        onnx_model, entry = make(name, *rest)
        (HERE / "models" / f"{name}.onnx").write_bytes(onnx_model)
        size += len(onnx_model)
        entries.append(entry)
        print(f"{name}: {len(onnx_model)} bytes, noise {max(output['noise'] for output in entry['outputs'])}")
    for reason, (name, *rest) in UNEQUAL:
        if not chosen(name):
            continue
        try:
            make(name, *rest)
        except Exception as refusal:
            print(f"{name}: no member, {reason} ({type(refusal).__name__})")
        else:
            sys.exit(f"{name} is equal now: make it a member")
    if names:
        return
    used = sorted({entry["data"] for entry in entries})
    data = {name: [tensor(n, a) for n, a in rows_of(name, DATA[name][2], False).items()] for name in used}
    text = json.dumps({"data": data, "members": entries}, separators=(",", ":"), ensure_ascii=False)
    (HERE / "answers.json").write_text(text + "\n")
    print(f"{len(entries)} members, {size} bytes of models, {len(text)} of answers")


# skl2onnx walks over sets of strings, whose order is another in every process unless it is told.
if os.environ.get("PYTHONHASHSEED") != "0":
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
main(sys.argv[1:])

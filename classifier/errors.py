"""What the classifier refuses, each by name."""

from __future__ import annotations

from hotline.core.errors import HotlineError


class ClassifierError(HotlineError):
    """Anything that the classifier refuses on purpose."""

    say = "文本分类未能完成，请转人工处理。"
    code = "classifier"


class ModelMissing(ClassifierError):
    """There is no model file where one was expected."""

    say = "没有找到分类模型文件，工单将由人工分类。"
    code = "model_missing"


class ModelDamaged(ClassifierError):
    """A model file is cut short, altered or not one of ours."""

    say = "分类模型文件已损坏或被改动，工单将由人工分类。"
    code = "model_damaged"


class ModelTooNew(ClassifierError):
    """A model was written by a newer version of this program."""

    say = "分类模型由更新版本的程序生成，当前版本无法读取，工单将由人工分类。"
    code = "model_too_new"


class BadTrainingFile(ClassifierError):
    """A line of a training or prediction file cannot be read."""

    say = "训练数据文件有无法识别的内容。"
    code = "bad_training_file"


class TooFewExamples(ClassifierError):
    """There is not enough to learn from: no example, or only one label."""

    say = "可用于训练的样本太少：至少需要两个类别、每类一条以上。"
    code = "too_few_examples"


class BadSeed(ClassifierError):
    """A seed corpus, lexicon or gazetteer file breaks its own form."""

    say = "种子语料或词表文件格式有误。"
    code = "bad_seed"

"""Equations 1 to 22."""

from aesm2.audit.items import Equation

_EXPERTS = "tests/layers/test_experts.py"
_SELECTION = "tests/layers/test_selection.py"
_ORACLE = "tests/models/test_aesm2_oracle.py"
_LOSSES = "tests/test_losses.py"
_MMOE = "tests/models/test_mmoe.py"
_AUDIT = "tests/audit/test_live.py"
_SELECT = "aesm2.layers.selection:select"

EQUATIONS = (
    Equation(
        1, "3.2", "Mixture of experts",
        r"o_t(\mathbf{x}) = \mathrm{MMoE}(\mathbf{x}, \mathbf{g})"
        r" = \sum_{i=1}^{n} g_t[i]\, f_i(\mathbf{x})",
        "The output is a sum of what the experts give out, each counted by its weight.",
        ("aesm2.layers.experts:Experts.forward",), (_EXPERTS, _AUDIT),
        "Experts of weight 0 are not computed where that pays; the numbers are the same.",
    ),
    Equation(
        2, "3.2", "One expert",
        r"f_i(\mathbf{x}) = \sigma(\mathbf{W}_i \mathbf{x})",
        "An expert is one linear map and an activation.",
        ("aesm2.layers.experts:Experts.outputs",), (_EXPERTS, _AUDIT),
        "σ is the rectifier, and the map has a bias; the paper names neither.",
    ),
    Equation(
        3, "3.2", "Gate of plain MMoE",
        r"\mathbf{g} = \mathbf{W}_t \mathbf{x}",
        "In MMoE each task scores the experts by a linear map of the input.",
        ("aesm2.models.mmoe:MMoE",), (_MMOE,),
        "Only the baseline MMoE has it. In AESM² the gates of Eq. 8 and 16 take its place.",
    ),
    Equation(
        4, "3.2", "Weights of the experts",
        r"\mathbf{g}_t = \mathrm{softmax}(\mathbf{g})",
        "A softmax over the experts turns the scores into weights that add up to 1.",
        ("aesm2.models.mmoe:MMoE", _SELECT), (_MMOE, _SELECTION),
        "In AESM² it is taken of the masked scores of Eq. 14.",
    ),
    Equation(
        5, "3.3", "Embedding of a group of features",
        r"\mathbf{x}_1 = [\mathbf{W}_1^u \mathbf{x}_1^u, \mathbf{W}_2^u \mathbf{x}_2^u, \dots,"
        r" \mathbf{W}_{n_u}^u \mathbf{x}_{n_u}^u]",
        "Each feature of a group is looked up in a table of its own; the results stand side by"
        " side.",
        ("aesm2.layers.embedding:FieldEmbedding", "aesm2.data.encoder:Encoder"),
        ("tests/layers/test_embedding.py", "tests/data/test_encoder.py"),
        "Numbers become categories by quantiles of the training rows; the paper does not say how."
        " Every feature has an entry for missing and one for values that training did not meet.",
    ),
    Equation(
        6, "3.3", "The feature vector",
        r"\mathbf{x} = [\mathbf{x}_1, \mathbf{x}_2, \dots, \mathbf{x}_v]",
        "The embeddings of all groups, side by side, are the input of the first layer.",
        ("aesm2.layers.embedding:FieldEmbedding.forward",), ("tests/layers/test_embedding.py",),
        "With scenario_features, an extension, scenario embeddings stand there as well.",
    ),
    Equation(
        7, "3.3", "The gate matrix",
        r"\mathbf{G} = [\mathbf{g}_1, \dots, \mathbf{g}_m]",
        "The scores of all gates form a matrix: a line an expert, a column a gate.",
        ("aesm2.layers.moe:ScenarioLayer.forward", "aesm2.layers.moe:TaskLayer.forward"),
        (_ORACLE, _AUDIT),
    ),
    Equation(
        8, "3.3", "Gate of a scenario",
        r"\mathbf{g}_j = \mathbf{S}_j [\mathbf{x}, \mathbf{s}] + \boldsymbol{\eta}_j,"
        r"\quad \lVert \boldsymbol{\eta}_j \rVert \propto n",
        "Each scenario scores every expert for this row, from the layer's input and the embedding"
        " of the row's own scenario; training adds noise.",
        ("aesm2.layers.moe:ScenarioLayer.forward", "aesm2.layers.moe:GateNoise"),
        (_ORACLE, _AUDIT),
        "At level l, s is [s_1 … s_l], as §3.3 extends it. η has standard deviation noise_scale · n"
        ' and is absent outside training, so here it is 0. With scenario_context = "gate", an'
        " extension, gate j sees the embedding of scenario j.",
    ),
    Equation(
        9, "3.3", "Softmax over the gates",
        r"\tilde{\mathbf{G}}[k, :] = \mathrm{softmax}(\mathbf{G}[k, :])",
        "Each expert's scores become a distribution over the gates: whose expert is it?",
        ("aesm2.routing.trace:LayerTrace.row_softmax",), ("tests/routing/test_trace.py",),
        "The model ranks experts by closed forms in G, which do not saturate; only the trace"
        " computes the softmax itself.",
    ),
    Equation(
        10, "3.3", "The specific experts",
        r"\mathcal{E}_{sp} = \mathrm{TopK}(h^p_1, \dots, h^p_n)",
        "Specific are the K experts that are nearest to belonging to the row's own gate alone.",
        (_SELECT, "aesm2.layers.selection:lowest"), (_SELECTION, _AUDIT),
        "Of equal experts the one with the lower number is taken. K of Eq. 10 and of Eq. 12 are set"
        " apart.",
    ),
    Equation(
        11, "3.3", "Distance from specific",
        r"h^p_k = -\mathrm{KL}(\mathbf{p}_j, \tilde{\mathbf{G}}[k, :])"
        r" = -\sum_{i} p_j[i] \log \frac{p_j[i]}{\tilde{\mathbf{G}}[k, i]}",
        "How far an expert is from one that only the row's own gate would use, in nats.",
        (_SELECT,), (_SELECTION, _AUDIT),
        "Computed as softplus(logsumexp of the other gates − g_j), which is the same number.",
    ),
    Equation(
        12, "3.3", "The shared experts",
        r"\mathcal{E}_{sh} = \mathrm{TopK}(h^q_1, \dots, h^q_n)",
        "Shared are the K experts that all gates score most alike.",
        (_SELECT, "aesm2.layers.selection:lowest"), (_SELECTION, _AUDIT),
        "The set is the same for every gate j. An expert may be in both sets.",
    ),
    Equation(
        13, "3.3", "Distance from shared",
        r"h^q_k = -\mathrm{KL}(\mathbf{q}_j, \tilde{\mathbf{G}}[k, :])"
        r" = -\sum_{i} \frac1m \log \frac{1/m}{\tilde{\mathbf{G}}[k, i]}",
        "How far an expert is from one that all gates would use alike, in nats.",
        ("aesm2.layers.selection:shared_divergence",), (_SELECTION, _AUDIT),
        "Computed as logsumexp(G[k] − mean) − log m, which is the same number; it does not depend"
        " on j.",
    ),
    Equation(
        14, "3.3", "Only the chosen count",
        r"\hat{\mathbf{g}}_j[k] = \begin{cases} \mathbf{g}_j[k] & k \in \mathcal{E}_{sh} \cup"
        r" \mathcal{E}_{sp} \\ -\infty & \text{else} \end{cases}",
        "Experts that were not chosen get no weight; the others keep the score of the row's gate.",
        (_SELECT,), (_SELECTION, _AUDIT),
        "An expert that was chosen twice counts once. The authors' released code multiplies scores"
        " instead of masking them; this follows the paper.",
    ),
    Equation(
        15, "3.3", "Output of a scenario layer",
        r"\mathbf{z}_j = \mathrm{ScenarioLayer}(\mathbf{x}, \mathbf{s}_j)"
        r" = \mathrm{MMoE}(\mathbf{x}, \hat{\mathbf{g}}_j)",
        "A scenario layer mixes the chosen experts by their scores at the row's own gate.",
        ("aesm2.layers.moe:ScenarioLayer.forward",), (_ORACLE, _AUDIT),
    ),
    Equation(
        16, "3.3", "Gate of a task",
        r"\mathbf{g}_k = \mathbf{T}_k [\mathbf{z}_k, \mathbf{s}, \mathbf{t}_k]"
        r" + \boldsymbol{\eta}_k",
        "Each task scores every expert for this row, from its input, all scenario embeddings and"
        " its own embedding.",
        ("aesm2.layers.moe:TaskLayer.forward",), (_ORACLE, _AUDIT),
        "The first task layer has one input for all tasks, later ones z_k of their own (Fig. 5);"
        " the paper writes x for it.",
    ),
    Equation(
        17, "3.3", "Output of a task layer",
        r"\mathbf{z}_k = \mathrm{TaskLayer}(\mathbf{z}_j, \mathbf{t}_k)"
        r" = \mathrm{MMoE}(\mathbf{z}_j, \hat{\mathbf{g}}_k)",
        "A task layer mixes, once for each task, the experts chosen for it.",
        ("aesm2.layers.moe:TaskLayer.forward",), (_ORACLE, _AUDIT),
    ),
    Equation(
        18, "3.3", "Prediction",
        r"\hat{y}_k = \sigma(\mathrm{MLP}(\mathbf{z}_k)), \qquad"
        r" \mathrm{pCTCVR} = \mathrm{pCTR} \cdot \mathrm{pCVR}",
        "A small network of its own turns each task's output into a probability; along a chain of"
        " tasks they are multiplied (§4.1).",
        ("aesm2.layers.towers:Towers.forward", "aesm2.models.output:along_chain"),
        (_ORACLE, "tests/models/test_output.py"),
        "Any chain or tree of tasks, of which CTR → CTCVR is one.",
    ),
    Equation(
        19, "3.4", "Loss of a task",
        r"\mathcal{L}_k = -y^k_j \log \hat{y}^k_j - (1 - y^k_j) \log (1 - \hat{y}^k_j)",
        "Cross-entropy between a label and its prediction, in nats.",
        ("aesm2.losses:cross_entropy",), (_LOSSES,),
        "Unknown labels have no loss.",
    ),
    Equation(
        20, "3.4", "Loss of the selection",
        r"\mathcal{L}^s_{sp} = \sum_{l=1}^{L_s} \sum_{k \in \mathcal{E}_{sp}}"
        r" \mathrm{KL}(\mathbf{p}_j, \tilde{\mathbf{G}}^l[k, :])",
        "The distances of the chosen experts, added up over the layers: training makes specific"
        " experts more specific and, by the same sum with q, shared ones more shared.",
        ("aesm2.losses:auxiliary_terms",), (_LOSSES,),
        "Averaged over rows, so that λ does not depend on the batch. A task layer adds up its"
        " tasks.",
    ),
    Equation(
        21, "3.4", "Auxiliary loss",
        r"\mathcal{L}_{aux} = \lambda_{sp} \mathcal{L}_{sp} + \lambda_{sh} \mathcal{L}_{sh}",
        "The two losses of the selection, each with its strength.",
        ("aesm2.losses:LossTerms.total", "aesm2.config:TrainingConfig"), (_LOSSES,),
    ),
    Equation(
        22, "3.4", "The whole loss",
        r"\mathcal{L} = \sum_{k=1}^{t} \lambda_k \mathcal{L}_k + \mathcal{L}_{aux}"
        r" + \gamma \lVert \Theta \rVert_2^2",
        "What training makes small: the losses of the tasks, that of the selection, and the size of"
        " the weights.",
        ("aesm2.losses:LossTerms.total", "aesm2.losses:squared_norm",
         "aesm2.training.loop:fit"),
        (_LOSSES, "tests/training/test_loop.py"),
        "γ‖Θ‖² is Adam's weight decay of 2γ, its exact gradient; the trainer logs it apart.",
    ),
)  # fmt: skip

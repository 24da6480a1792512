"""Every network whose weights condset loads: where the file is published, what it must hash to, under which licence.

    MODELS[name] ──> weights.WeightsStore looks for `file`, checks it against `sha256`, downloads it from `source`

A file's hash is what makes it the model; where it was found never matters. The table is data: nothing here imports,
opens or downloads anything.

Where the numbers come from. pidinet: computed from the file itself. Faster R-CNN and DPT: the publisher puts the first
8 digits into the file name; the rest, and the size, agree in several independent projects that pin them. MMPose: URL
and digits are those of its own metafiles (`mmpose/.mim/configs/**/*.yml`); its `tools/misc/publish_model.py` takes the
digits from `sha256sum`. That does not hold for every OpenMMLab file: the RTMPose weights trained on COCO alone and on
AIC-COCO were replaced under their old names, so a name there proves nothing; the ones listed here are not among them.
Inception: as Faster R-CNN. CLIP: digits and sizes agree in several independent projects that pin them. MaskFormer: the
hub's page of the file shows its sha256, the same in March 2022, when it was uploaded, and at the last commit.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a model repository on the Hugging Face hub."""

    repository: str
    filename: str


@dataclass(frozen=True, slots=True)
class Model:
    """One published file of weights."""

    name: str
    network: str
    """Architecture, training data and input size, for people."""
    paper: str
    licence: str
    file: str
    """Relative to the weights directory."""
    source: HubFile | str
    """On the hub, or an https URL."""
    sha256: str
    """Lower-case hex: all 64 digits, or the first 8 where the publisher gives no more."""
    size_bytes: int | None = None

    @property
    def url(self) -> str:
        """Where a person can download the file."""
        if isinstance(self.source, str):
            return self.source
        return f"https://huggingface.co/{self.source.repository}/resolve/main/{self.source.filename}"


_MMPOSE = "https://download.openmmlab.com/mmpose/v1"

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            name="pidinet",
            network="PiDiNet (table 5, carv4), BSDS500",
            paper="arXiv 2108.07009",
            licence="research only; commercial use by agreement with the authors",
            file="pidinet/table5_pidinet.pth",
            source=HubFile("lllyasviel/Annotators", "table5_pidinet.pth"),
            sha256="80860ac267258b5f27486e0ef152a211d0b08120f62aeb185a050acc30da486c",
            size_bytes=2_871_148,
        ),
        Model(
            name="dpt_hybrid",
            network="MiDaS 3.0 DPT-Hybrid (ViT-B + ResNet-50), 384",
            paper="arXiv 2103.13413",
            licence="MIT",
            file="midas/dpt_hybrid-midas-501f0c75.pt",
            source="https://github.com/isl-org/DPT/releases/download/1_0/dpt_hybrid-midas-501f0c75.pt",
            sha256="501f0c75b3bca7daec6b3682c5054c09b366765aef6fa3a09d03a5cb4b230853",
        ),
        Model(
            name="rtmo_s",
            network="RTMO-s, body7, 640x640",
            paper="arXiv 2312.07526",
            licence="Apache-2.0",
            file="mmpose/rtmo-s_8xb32-600e_body7-640x640-dac2bf74_20231211.pth",
            source=f"{_MMPOSE}/projects/rtmo/rtmo-s_8xb32-600e_body7-640x640-dac2bf74_20231211.pth",
            sha256="dac2bf74",
        ),
        Model(
            name="rtmo_m",
            network="RTMO-m, body7, 640x640",
            paper="arXiv 2312.07526",
            licence="Apache-2.0",
            file="mmpose/rtmo-m_16xb16-600e_body7-640x640-39e78cc4_20231211.pth",
            source=f"{_MMPOSE}/projects/rtmo/rtmo-m_16xb16-600e_body7-640x640-39e78cc4_20231211.pth",
            sha256="39e78cc4",
        ),
        Model(
            name="rtmo_l",
            network="RTMO-l, body7, 640x640",
            paper="arXiv 2312.07526",
            licence="Apache-2.0",
            file="mmpose/rtmo-l_16xb16-600e_body7-640x640-b37118ce_20231211.pth",
            source=f"{_MMPOSE}/projects/rtmo/rtmo-l_16xb16-600e_body7-640x640-b37118ce_20231211.pth",
            sha256="b37118ce",
        ),
        Model(
            name="rtmpose_m",
            network="RTMPose-m, body7, 256x192",
            paper="arXiv 2303.07399",
            licence="Apache-2.0",
            file="mmpose/rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.pth",
            source=f"{_MMPOSE}/projects/rtmposev1/rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504.pth",
            sha256="e48f03d0",
        ),
        Model(
            name="hrnet_w48",
            network="HRNet-w48, COCO, 256x192",
            paper="arXiv 1902.09212",
            licence="Apache-2.0",
            file="mmpose/td-hm_hrnet-w48_8xb32-210e_coco-256x192-0e67c616_20220913.pth",
            source=f"{_MMPOSE}/body_2d_keypoint/topdown_heatmap/coco/"
            "td-hm_hrnet-w48_8xb32-210e_coco-256x192-0e67c616_20220913.pth",
            sha256="0e67c616",
        ),
        Model(
            name="faster_rcnn",
            network="Faster R-CNN ResNet-50 FPN (torchvision COCO_V1)",
            paper="arXiv 1506.01497",
            licence="BSD-3-Clause",
            file="torchvision/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
            source="https://download.pytorch.org/models/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
            sha256="258fb6c638b15964ddcdd1ae0748c5eef1be9e732750120cc857feed3faac384",
            size_bytes=167_502_836,
        ),
        Model(
            name="inception_v3_fid",
            network="Inception-v3 as FID takes it (TensorFlow's of 2015-12-05, converted), ImageNet, 299x299",
            paper="arXiv 1706.08500",
            licence="Apache-2.0",
            file="torch-fidelity/weights-inception-2015-12-05-6726825d.pth",
            source="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            size_bytes=95_628_359,
        ),
        Model(
            name="clip_vit_l14",
            network="CLIP ViT-L/14, 400 M pictures with captions, 224x224",
            paper="arXiv 2103.00020",
            licence="MIT",
            file="clip-vit-large-patch14/model.safetensors",
            source=HubFile("openai/clip-vit-large-patch14", "model.safetensors"),
            sha256="a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
            size_bytes=1_710_540_580,
        ),
        Model(
            name="clip_tokenizer",
            network="the byte-pair vocabulary of CLIP",
            paper="arXiv 2103.00020",
            licence="MIT",
            file="clip-vit-large-patch14/tokenizer.json",
            source=HubFile("openai/clip-vit-large-patch14", "tokenizer.json"),
            sha256="a83e0809aa4c3af7208b2df632a7a69668c6d48775b3c3fe4e1b1199d1f8b8f4",
            size_bytes=2_224_003,
        ),
        Model(
            name="maskformer_swin_b",
            network="MaskFormer Swin-B, COCO panoptic, 800",
            paper="arXiv 2107.06278",
            licence="CC-BY-NC-4.0",
            file="maskformer-swin-base-coco/pytorch_model.bin",
            source=HubFile("facebook/maskformer-swin-base-coco", "pytorch_model.bin"),
            sha256="8dd11d3789a3fd1c8ed02a3673e40b3ba9f4187a22f49d8b7a455eec532cb89c",
        ),
    )
}

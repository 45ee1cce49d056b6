"""Records of a GRD annotation that describe an instrument no simulation has.

The schema demands them; readers of images ignore them. Numbers are typical of IW.
"""

from __future__ import annotations

from skymend.simulate.markup import Node, listing, node

_DOWNLINK_QUALITY = """
iInputDataMean=0.0 qInputDataMean=0.0 inputDataMeanOutsideNominalRangeFlag=false
iInputDataStdDev=9.0 qInputDataStdDev=9.0 inputDataStDevOutsideNominalRangeFlag=false
numDownlinkInputDataGaps=0 downlinkGapsInInputDataSignificantFlag=false
numDownlinkInputMissingLines=0 downlinkMissingLinesSignificantFlag=false
numInstrumentInputDataGaps=0 instrumentGapsInInputDataSignificantFlag=false
numInstrumentInputMissingLines=0 instrumentMissingLinesSignificantFlag=false
numSsbErrorInputDataGaps=0 ssbErrorGapsInInputDataSignificantFlag=false
numSsbErrorInputMissingLines=0 ssbErrorMissingLinesSignificantFlag=false
chirpSourceUsed=Nominal pgSourceUsed=Extracted rrfSpectrumUsed=Extended_Tapered
replicaReconstructionFailedFlag=false meanPgProductAmplitude=0.62
stdDevPgProductAmplitude=0.05 meanPgProductPhase=2.57 stdDevPgProductPhase=0.15
pgProductDerivationFailedFlag=false invalidDownlinkParamsFlag=false
"""
_RAW_QUALITY = """
iBias=0.0 iBiasSignificanceFlag=false qBias=0.0 qBiasSignificanceFlag=false
iqGainImbalance=1.0 iqGainSignificanceFlag=false iqQuadratureDeparture=0.0
iqQuadratureDepartureSignificanceFlag=false
"""
_BIT_ERRORS = """
SyncMarker DataTakeId EccNumber TestMode RxChannelId InstrumentConfigId PacketCount PriCount
SsbErrorFlag BaqMode BaqBlockLength RangeDecimation RxGain TxRampRate TxPulseStartFrequency Rank
Pri Swst Swl Polarisation TempComp ElevationBeamAddress AzimuthBeamAddress SasTestMode CalType
CalibrationBeamAddress CalMode TxPulseNumber SignalType SwapFlag SwathNumber NumberOfQuads
"""
_RAW_SUPPORT = """
iBiasUpperBound=0.01 iBiasLowerBound=-0.01 qBiasUpperBound=0.01 qBiasLowerBound=-0.01
iqGainUpperBound=1.001 iqGainLowerBound=0.999 iqQuadratureDepartureUpperBound=0.9
iqQuadratureDepartureLowerBound=-0.9 iBiasUsedForCorrection=0.0 qBiasUsedForCorrection=0.0
iqGainImbalanceUsedForCorrection=1.0 iqQuadratureDepartureUsedForCorrection=0.0
"""
_ATTITUDE = """
q0=1.0 q1=0.0 q2=0.0 q3=0.0 wx=0.0 wy=0.0 wz=0.0 roll=0.0 pitch=0.0 yaw=0.0
"""
SWATHS = ("IW1", "IW2", "IW3")


def fields(text: str) -> list[Node]:
    """Return an element for each ``name=value``; ``_`` in a value stands for a blank."""
    pairs = (part.split("=") for part in text.split())
    return [node(name, value.replace("_", " ")) for name, value in pairs]


def quality(time: str, statistics: Node) -> Node:
    """Return ``qualityInformation``."""
    record = node(
        "qualityData",
        node("azimuthTime", time),
        node("downlinkQuality", *fields(_DOWNLINK_QUALITY)),
        node("rawDataAnalysisQuality", *fields(_RAW_QUALITY)),
        node(
            "dopplerCentroidQuality",
            *fields("dcMethod=Data_Analysis dopplerCentroidUncertainFlag=false"),
        ),
        node(
            "imageQuality",
            statistics,
            *fields("outputDataMeanOutsideNominalRangeFlag=false"),
            *fields("outputDataStDevOutsideNominalRangeFlag=false"),
        ),
    )
    return node(
        "qualityInformation",
        node("productQualityIndex", "0.0"),
        listing("qualityDataList", [record]),
    )


def downlink(swath: str, start: str, stop: str) -> Node:
    """Return one ``downlinkInformation``."""
    errors = [f"numErr{name}=0" for name in _BIT_ERRORS.split()]
    values = node(
        "downlinkValues",
        *fields("pri=5.823674e-04 rank=9 dataTakeId=1 eccNumber=8 rxChannelId=0"),
        *fields("instrumentConfigId=6"),
        node(
            "dataFormat",
            *fields("baqBlockLength=256 echoFormat=FDBAQ noiseFormat=BAQ_5_Bit"),
            *fields("calibrationFormat=Decimation meanBitRate=1.2"),
        ),
        node(
            "rangeDecimation",
            *fields("decimationFilterBandwidth=5.659e+07"),
            *fields("samplingFrequencyAfterDecimation=6.434523812571429e+07 filterLength=36"),
        ),
        *fields("rxGain=-4.0 txPulseLength=5.240481e-05 txPulseStartFrequency=-2.8251534e+07"),
        *fields(f"txPulseRampRate=1.07823032e+12 swathNumber={10 + SWATHS.index(swath)}"),
        listing("swlList", [_timed("swl", start, "3.7213543e-04")]),
        listing("swstList", [_timed("swst", start, "1.0566216e-04")]),
        listing("pointingStatusList", [_pointing(start)]),
    )
    return node(
        "downlinkInformation",
        node("swath", swath),
        node("azimuthTime", start),
        node("firstLineSensingTime", start),
        node("lastLineSensingTime", stop),
        node("prf", "1.717128973878037e+03"),
        node("bitErrorCount", *fields(" ".join([*errors, "numIspHeaderErrors=0"]))),
        values,
    )


def _timed(tag: str, time: str, value: str) -> Node:
    return node(tag, node("azimuthTime", time), node("value", value))


def _pointing(time: str) -> Node:
    flags = "rollErrorFlag=false pitchErrorFlag=false yawErrorFlag=false"
    mode = node("aocsOpMode", "Normal Pointing Mode")
    return node("pointingStatus", node("azimuthTime", time), mode, *fields(flags))


def attitude(time: str) -> Node:
    """Return one ``attitude``."""
    return node("attitude", node("time", time), node("frame", "GM2000"), *fields(_ATTITUDE))


def raw_analysis(time: str) -> Node:
    """Return one ``rawDataAnalysis``."""
    return node(
        "rawDataAnalysis",
        node("azimuthTime", time),
        *fields("iBias=0.0 qBias=0.0 iqQuadratureDeparture=0.0 iqGainImbalance=1.0"),
        node("support", *fields(_RAW_SUPPORT)),
    )


def replica(swath: str, time: str) -> Node:
    """Return one ``replicaInformation`` without measured replicas."""
    reference = node(
        "referenceReplica",
        node("azimuthTime", time),
        *fields("chirpSource=Nominal pgSource=Extracted"),
        node("amplitudeCoefficients", "1.0 0.0 0.0 0.0", count=4),
        node("phaseCoefficients", "0.0 0.0 0.0 0.0", count=4),
        node("timeDelay", "4.319443e-07"),
        node("gain", *fields("re=1.0 im=0.0")),
    )
    return node("replicaInformation", node("swath", swath), reference, listing("replicaList", []))


def doppler(time: str, start: str, stop: str, slant_time: float) -> Node:
    """Return one ``dcEstimate`` with a centroid of zero."""
    return node(
        "dcEstimate",
        node("azimuthTime", time),
        node("t0", repr(slant_time)),
        node("geometryDcPolynomial", "0.0 0.0 0.0", count=3),
        node("dataDcPolynomial", "0.0 0.0 0.0", count=3),
        *fields("dataDcRmsError=1.0 dataDcRmsErrorAboveThreshold=false"),
        node("fineDceAzimuthStartTime", start),
        node("fineDceAzimuthStopTime", stop),
        listing("fineDceList", []),
    )


def processing(swath: str) -> Node:
    """Return one ``swathProcParams``."""
    window = "windowType=Hamming windowCoefficient=0.7"
    range_part = f"{window} totalBandwidth=5.65e+07 processingBandwidth=5.65e+07"
    azimuth_part = f"{window} totalBandwidth=327.0 processingBandwidth=327.0"
    return node(
        "swathProcParams",
        node("swath", swath),
        node(
            "rangeProcessing",
            *fields(f"{range_part} lookBandwidth=1.41e+07 numberOfLooks=5 lookOverlap=3.5e+06"),
        ),
        node(
            "azimuthProcessing",
            *fields(f"{azimuth_part} lookBandwidth=327.0 numberOfLooks=1 lookOverlap=0.0"),
        ),
        node("processorScalingFactor", "1.026920e+12"),
    )

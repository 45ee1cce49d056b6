//VERSION=3
// Bands as they are stored, followed by the mask of valid pixels.
const BANDS = ["B04"];
const UNITS = ["DN"];
const SAMPLE_TYPE = "UINT16";

function setup() {
  return {
    input: [{ bands: BANDS.concat(["dataMask"]), units: UNITS.concat(["DN"]) }],
    output: { bands: BANDS.length + 1, sampleType: SAMPLE_TYPE },
  };
}

function evaluatePixel(sample) {
  return BANDS.map((band) => sample[band]).concat([sample.dataMask]);
}

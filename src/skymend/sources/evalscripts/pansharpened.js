//VERSION=3
// Bands sharpened by a panchromatic one: each times the ratio of the sharp to the mean of the bands
// (Brovey transform), followed by the mask of valid pixels.
const BANDS = ["B04"];
const UNITS = ["DN"];
const SAMPLE_TYPE = "UINT16";
const PAN = "PAN";

function setup() {
  return {
    input: [{ bands: BANDS.concat([PAN, "dataMask"]), units: UNITS.concat(["DN", "DN"]) }],
    output: { bands: BANDS.length + 1, sampleType: SAMPLE_TYPE },
  };
}

function evaluatePixel(sample) {
  const mean = BANDS.reduce((sum, band) => sum + sample[band], 0) / BANDS.length;
  const ratio = mean > 0 ? sample[PAN] / mean : 0;
  return BANDS.map((band) => sample[band] * ratio).concat([sample.dataMask]);
}

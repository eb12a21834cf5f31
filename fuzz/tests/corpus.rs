//! Every reader of `showrunner_fuzz` over its corpus and over seeded mutations of it. Reads the corpus.

/// Texts that some reader looks for.
const WORDS: [&str; 33] = [
    "WEBVTT",
    "\n\n",
    " --> ",
    "00:00:01.000",
    "99:59:59.999",
    "&amp;",
    "<br/>",
    "<p begin=\"00:00:00.000\" end=\"00:00:01.000\">",
    "</p>",
    "#xywh=0,0,160,90",
    "sprite-0.jpg",
    "thumbnail-0.jpg",
    "1h30m",
    "0.75",
    "_",
    "1001/24000",
    "etag: \"x\"\n",
    "<Code>NoSuchKey</Code>",
    "showrunner.dev/progress/v1",
    "showrunner.dev/pod-records",
    "showrunner.dev/admitted-at",
    "DeadlineExceeded",
    "OOMKilled",
    "Complete",
    "null",
    "[]",
    "{}",
    "http://user:secret@s3.example",
    "{namespace}",
    "..",
    "SRFP\x01\0\0\0",
    "SRFQ\x01\0",
    "showrunner.dev/catalogue-entry/v1",
];

macro_rules! readers {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                showrunner_fuzz_driver::exercise(stringify!($name), &WORDS, |input| showrunner_fuzz::run(stringify!($name), input));
            }
        )*

        #[test]
        fn every_reader_is_run() {
            let here = [$(stringify!($name)),*];
            let there: Vec<_> = showrunner_fuzz::TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(here.as_slice(), there);
        }
    };
}

readers! {
    document termination step_result title_spec job message report settings store_answer store_path cues webvtt imsc timeline word
    print index query entry
}

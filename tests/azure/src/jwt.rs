//! JSON web tokens signed with RS256 (RFC 7515, RFC 7518 section 3.3), the only kind that Entra accepts
//! and issues.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::RsaPublicKeyComponents;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

/// Why a key or a token cannot be used.
#[derive(Debug, Error)]
pub enum JwtError {
    /// The key could not be made.
    #[error("cannot make an RSA key: {0}")]
    Generate(String),
    /// The token could not be signed.
    #[error("cannot sign with the RSA key")]
    Sign,
    /// The text is no JSON web token.
    #[error("not a JSON web token: {0}")]
    Malformed(&'static str),
}

/// An RSA key of 2048 bits that signs tokens: Entra's own, or a test issuer's.
pub struct SigningKey {
    pair: RsaKeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// Makes a key. Finding two large primes can take some seconds.
    pub fn generate() -> Result<Self, JwtError> {
        let generated = |error: &dyn std::fmt::Display| JwtError::Generate(error.to_string());
        let private = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048)
            .map_err(|error| generated(&error))?;
        let document = private.to_pkcs8_der().map_err(|error| generated(&error))?;
        let pair =
            RsaKeyPair::from_pkcs8(document.as_bytes()).map_err(|error| generated(&error))?;
        let n = private.n().to_bytes_be();
        let digest = ring::digest::digest(&ring::digest::SHA256, &n);
        let public = PublicKey {
            kty: "RSA".to_owned(),
            kid: Some(URL_SAFE_NO_PAD.encode(digest)),
            alg: Some("RS256".to_owned()),
            n: URL_SAFE_NO_PAD.encode(&n),
            e: URL_SAFE_NO_PAD.encode(private.e().to_bytes_be()),
        };
        Ok(Self { pair, public })
    }

    /// Signs claims with the header of the original: `alg`, `kid` and `typ`.
    pub fn sign(&self, claims: &Value) -> Result<String, JwtError> {
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": self.public.kid });
        self.sign_with_header(&header, claims)
    }

    /// Signs claims under a header of the caller's choice, such as one without `kid`.
    pub fn sign_with_header(&self, header: &Value, claims: &Value) -> Result<String, JwtError> {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .map_err(|_| JwtError::Sign)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The public half, as published.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The key set that an issuer with this one key publishes (RFC 7517 section 5).
    pub fn key_set(&self) -> KeySet {
        KeySet {
            keys: vec![self.public.clone()],
        }
    }
}

/// A public key as an issuer publishes it (RFC 7517 section 4). Keys of other kinds than RSA parse,
/// and verify nothing.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct PublicKey {
    /// The kind of key: `RSA`.
    pub kty: String,
    /// The key id, to which a token's header refers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The algorithm: `RS256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The modulus, base64url.
    pub n: String,
    /// The exponent, base64url.
    pub e: String,
}

impl PublicKey {
    /// Whether this key's owner signed the token.
    pub fn verifies(&self, token: &Jwt<'_>) -> bool {
        let (Ok(n), Ok(e)) = (
            URL_SAFE_NO_PAD.decode(&self.n),
            URL_SAFE_NO_PAD.decode(&self.e),
        ) else {
            return false;
        };
        self.kty == "RSA"
            && RsaPublicKeyComponents { n, e }
                .verify(
                    &RSA_PKCS1_2048_8192_SHA256,
                    token.message.as_bytes(),
                    &token.signature,
                )
                .is_ok()
    }
}

/// The keys of an issuer (RFC 7517 section 5).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct KeySet {
    /// The keys.
    pub keys: Vec<PublicKey>,
}

impl KeySet {
    /// The key with this name.
    pub fn find(&self, kid: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.kid.as_deref() == Some(kid))
    }
}

/// A parsed token that is not verified.
pub struct Jwt<'a> {
    /// The header, an object.
    pub header: Value,
    /// The claims, an object.
    pub claims: Value,
    message: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// Splits and decodes the compact form (RFC 7515 section 7.1).
    pub fn parse(token: &'a str) -> Result<Self, JwtError> {
        let malformed = |reason| move || JwtError::Malformed(reason);
        let (message, signature) = token
            .rsplit_once('.')
            .ok_or_else(malformed("it has no three parts"))?;
        let (header, claims) = message
            .split_once('.')
            .ok_or_else(malformed("it has no three parts"))?;
        Ok(Self {
            header: object(header).ok_or_else(malformed("its header is no JSON object"))?,
            claims: object(claims).ok_or_else(malformed("its claims are no JSON object"))?,
            message,
            signature: URL_SAFE_NO_PAD
                .decode(signature)
                .map_err(|_| JwtError::Malformed("its signature is not base64url"))?,
        })
    }

    /// A claim that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// A claim that is a time, in seconds since 1970.
    pub fn time(&self, name: &str) -> Option<i64> {
        let value = self.claims.get(name)?;
        // NumericDate may have a fraction (RFC 7519 section 2).
        value
            .as_i64()
            .or_else(|| value.as_f64().map(|time| time as i64))
    }

    /// The audiences: one string or a list of them (RFC 7519 section 4.1.3).
    pub fn audiences(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

fn object(part: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_key_verifies_a_token() {
        let key = SigningKey::generate().unwrap();
        let other = SigningKey::generate().unwrap();
        let text = key
            .sign(&json!({ "sub": "a", "aud": ["x", "y"], "exp": 12.5 }))
            .unwrap();
        let token = Jwt::parse(&text).unwrap();
        assert!(key.public().verifies(&token));
        assert!(!other.public().verifies(&token));
        assert_eq!(token.audiences(), ["x", "y"]);
        assert_eq!(token.time("exp"), Some(12));
        assert_eq!(token.text("sub"), Some("a"));
    }

    #[test]
    fn a_changed_claim_breaks_the_signature() {
        let key = SigningKey::generate().unwrap();
        let text = key.sign(&json!({ "sub": "a" })).unwrap();
        let (header, rest) = text.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"b"}"#);
        let forged = format!("{header}.{claims}.{signature}");
        assert!(!key.public().verifies(&Jwt::parse(&forged).unwrap()));
    }

    proptest::proptest! {
        #[test]
        fn the_parser_accepts_any_text_without_a_panic(text in "[A-Za-z0-9_.=-]{0,80}") {
            let _ = Jwt::parse(&text);
        }

        #[test]
        fn every_claim_survives(subject in ".*", audiences in proptest::collection::vec(".*", 0..4)) {
            let claims = json!({ "sub": subject, "aud": audiences });
            let text = format!(
                "{}.{}.",
                URL_SAFE_NO_PAD.encode("{}"),
                URL_SAFE_NO_PAD.encode(claims.to_string())
            );
            let token = Jwt::parse(&text).unwrap();
            proptest::prop_assert_eq!(token.text("sub"), Some(subject.as_str()));
            proptest::prop_assert_eq!(token.audiences(), audiences);
        }
    }

    #[test]
    fn refuses_other_text() {
        for text in ["", "a", "a.b", "a.b.c", "e30.e30", "W10.e30.", "e30.e30.!"] {
            assert!(Jwt::parse(text).is_err(), "{text:?}");
        }
    }
}
